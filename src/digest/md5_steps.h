/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 64 steps of MD5 (RFC 1321, 3.4) in lists of eight:
 * STEP(function, a, b, c, d, step, index of the message word, constant, rotation).
 * A step is a = b + ((a + function(b, c, d) + word + constant) rotated left).
 */
#ifndef SETMOV_DIGEST_MD5_STEPS_H
#define SETMOV_DIGEST_MD5_STEPS_H

#define MD5_STEPS_0(STEP)                                                                          \
    STEP(md5_f, a, b, c, d, 0, 0, 0xd76aa478, 7)                                                   \
    STEP(md5_f, d, a, b, c, 1, 1, 0xe8c7b756, 12)                                                  \
    STEP(md5_f, c, d, a, b, 2, 2, 0x242070db, 17)                                                  \
    STEP(md5_f, b, c, d, a, 3, 3, 0xc1bdceee, 22)                                                  \
    STEP(md5_f, a, b, c, d, 4, 4, 0xf57c0faf, 7)                                                   \
    STEP(md5_f, d, a, b, c, 5, 5, 0x4787c62a, 12)                                                  \
    STEP(md5_f, c, d, a, b, 6, 6, 0xa8304613, 17)                                                  \
    STEP(md5_f, b, c, d, a, 7, 7, 0xfd469501, 22)

#define MD5_STEPS_1(STEP)                                                                          \
    STEP(md5_f, a, b, c, d, 8, 8, 0x698098d8, 7)                                                   \
    STEP(md5_f, d, a, b, c, 9, 9, 0x8b44f7af, 12)                                                  \
    STEP(md5_f, c, d, a, b, 10, 10, 0xffff5bb1, 17)                                                \
    STEP(md5_f, b, c, d, a, 11, 11, 0x895cd7be, 22)                                                \
    STEP(md5_f, a, b, c, d, 12, 12, 0x6b901122, 7)                                                 \
    STEP(md5_f, d, a, b, c, 13, 13, 0xfd987193, 12)                                                \
    STEP(md5_f, c, d, a, b, 14, 14, 0xa679438e, 17)                                                \
    STEP(md5_f, b, c, d, a, 15, 15, 0x49b40821, 22)

#define MD5_STEPS_2(STEP)                                                                          \
    STEP(md5_g, a, b, c, d, 16, 1, 0xf61e2562, 5)                                                  \
    STEP(md5_g, d, a, b, c, 17, 6, 0xc040b340, 9)                                                  \
    STEP(md5_g, c, d, a, b, 18, 11, 0x265e5a51, 14)                                                \
    STEP(md5_g, b, c, d, a, 19, 0, 0xe9b6c7aa, 20)                                                 \
    STEP(md5_g, a, b, c, d, 20, 5, 0xd62f105d, 5)                                                  \
    STEP(md5_g, d, a, b, c, 21, 10, 0x02441453, 9)                                                 \
    STEP(md5_g, c, d, a, b, 22, 15, 0xd8a1e681, 14)                                                \
    STEP(md5_g, b, c, d, a, 23, 4, 0xe7d3fbc8, 20)

#define MD5_STEPS_3(STEP)                                                                          \
    STEP(md5_g, a, b, c, d, 24, 9, 0x21e1cde6, 5)                                                  \
    STEP(md5_g, d, a, b, c, 25, 14, 0xc33707d6, 9)                                                 \
    STEP(md5_g, c, d, a, b, 26, 3, 0xf4d50d87, 14)                                                 \
    STEP(md5_g, b, c, d, a, 27, 8, 0x455a14ed, 20)                                                 \
    STEP(md5_g, a, b, c, d, 28, 13, 0xa9e3e905, 5)                                                 \
    STEP(md5_g, d, a, b, c, 29, 2, 0xfcefa3f8, 9)                                                  \
    STEP(md5_g, c, d, a, b, 30, 7, 0x676f02d9, 14)                                                 \
    STEP(md5_g, b, c, d, a, 31, 12, 0x8d2a4c8a, 20)

#define MD5_STEPS_4(STEP)                                                                          \
    STEP(md5_h, a, b, c, d, 32, 5, 0xfffa3942, 4)                                                  \
    STEP(md5_h, d, a, b, c, 33, 8, 0x8771f681, 11)                                                 \
    STEP(md5_h, c, d, a, b, 34, 11, 0x6d9d6122, 16)                                                \
    STEP(md5_h, b, c, d, a, 35, 14, 0xfde5380c, 23)                                                \
    STEP(md5_h, a, b, c, d, 36, 1, 0xa4beea44, 4)                                                  \
    STEP(md5_h, d, a, b, c, 37, 4, 0x4bdecfa9, 11)                                                 \
    STEP(md5_h, c, d, a, b, 38, 7, 0xf6bb4b60, 16)                                                 \
    STEP(md5_h, b, c, d, a, 39, 10, 0xbebfbc70, 23)

#define MD5_STEPS_5(STEP)                                                                          \
    STEP(md5_h, a, b, c, d, 40, 13, 0x289b7ec6, 4)                                                 \
    STEP(md5_h, d, a, b, c, 41, 0, 0xeaa127fa, 11)                                                 \
    STEP(md5_h, c, d, a, b, 42, 3, 0xd4ef3085, 16)                                                 \
    STEP(md5_h, b, c, d, a, 43, 6, 0x04881d05, 23)                                                 \
    STEP(md5_h, a, b, c, d, 44, 9, 0xd9d4d039, 4)                                                  \
    STEP(md5_h, d, a, b, c, 45, 12, 0xe6db99e5, 11)                                                \
    STEP(md5_h, c, d, a, b, 46, 15, 0x1fa27cf8, 16)                                                \
    STEP(md5_h, b, c, d, a, 47, 2, 0xc4ac5665, 23)

#define MD5_STEPS_6(STEP)                                                                          \
    STEP(md5_i, a, b, c, d, 48, 0, 0xf4292244, 6)                                                  \
    STEP(md5_i, d, a, b, c, 49, 7, 0x432aff97, 10)                                                 \
    STEP(md5_i, c, d, a, b, 50, 14, 0xab9423a7, 15)                                                \
    STEP(md5_i, b, c, d, a, 51, 5, 0xfc93a039, 21)                                                 \
    STEP(md5_i, a, b, c, d, 52, 12, 0x655b59c3, 6)                                                 \
    STEP(md5_i, d, a, b, c, 53, 3, 0x8f0ccc92, 10)                                                 \
    STEP(md5_i, c, d, a, b, 54, 10, 0xffeff47d, 15)                                                \
    STEP(md5_i, b, c, d, a, 55, 1, 0x85845dd1, 21)

#define MD5_STEPS_7(STEP)                                                                          \
    STEP(md5_i, a, b, c, d, 56, 8, 0x6fa87e4f, 6)                                                  \
    STEP(md5_i, d, a, b, c, 57, 15, 0xfe2ce6e0, 10)                                                \
    STEP(md5_i, c, d, a, b, 58, 6, 0xa3014314, 15)                                                 \
    STEP(md5_i, b, c, d, a, 59, 13, 0x4e0811a1, 21)                                                \
    STEP(md5_i, a, b, c, d, 60, 4, 0xf7537e82, 6)                                                  \
    STEP(md5_i, d, a, b, c, 61, 11, 0xbd3af235, 10)                                                \
    STEP(md5_i, c, d, a, b, 62, 2, 0x2ad7d2bb, 15)                                                 \
    STEP(md5_i, b, c, d, a, 63, 9, 0xeb86d391, 21)

#define MD5_STEPS(STEP)                                                                            \
    MD5_STEPS_0(STEP)                                                                              \
    MD5_STEPS_1(STEP)                                                                              \
    MD5_STEPS_2(STEP)                                                                              \
    MD5_STEPS_3(STEP)                                                                              \
    MD5_STEPS_4(STEP)                                                                              \
    MD5_STEPS_5(STEP)                                                                              \
    MD5_STEPS_6(STEP)                                                                              \
    MD5_STEPS_7(STEP)

#endif
