"""The functions of C that exported files are made of."""

from __future__ import annotations

# Functions that only some models use, by the word that calls them; @ stands for the prefix of all names.
C_FUNCTIONS = {
    "sigmoid": """\
static @_real @_sigmoid(@_real z)
{
    @_real t = exp(-fabs(z)); /* at most 1, so that nothing overflows */
    return (z >= 0 ? 1 : t) / (1 + t);
}
""",
    "relu": """\
static @_real @_relu(@_real z)
{
    return z < 0 ? 0 : z;
}
""",
    "softplus": """\
static @_real @_softplus(@_real z)
{
    return (z < 0 ? 0 : z) + log1p(exp(-fabs(z))); /* log(1 + exp(z)) without overflow */
}
""",
    "layer": """\
/* z = a W + b; W has a row of weights for each input, and b may be absent. */
static void @_layer(const @_real *a, int inputs, const @_real *W, const @_real *b, int units, @_real *z)
{
    int i, j;
    for (j = 0; j < units; j++)
        z[j] = b ? b[j] : 0;
    for (i = 0; i < inputs; i++)
        for (j = 0; j < units; j++)
            z[j] += a[i] * W[i * units + j];
}
""",
    "radial": """\
/* z = s W + b, where s is exp(-d) for each of n points c, and d the sum of rate |x - c| over all inputs. */
static void @_radial(const @_real *x, int inputs, const @_real *points, const @_real *rate, int n,
                     const @_real *W, const @_real *b, int units, @_real *z)
{
    int i, j;
    for (j = 0; j < units; j++)
        z[j] = b[j];
    for (i = 0; i < n; i++) {
        @_real d = 0, s;
        for (j = 0; j < inputs; j++)
            d += rate[j] * fabs(x[j] - points[i * inputs + j]);
        s = exp(-d);
        for (j = 0; j < units; j++)
            z[j] += s * W[i * units + j];
    }
}
""",
    "lookup": """\
/* The row of values for the key that x equals, by bisection; zeros where it equals none, NAN where it is NAN. */
static void @_lookup(@_real x, const @_real *keys, int n, const @_real *values, int width, @_real *out)
{
    int low = 0, high = n, i;
    while (low < high) {
        int middle = (low + high) / 2;
        if (keys[middle] < x)
            low = middle + 1;
        else
            high = middle;
    }
    for (i = 0; i < width; i++)
        out[i] = low < n && keys[low] == x ? values[low * width + i] : 0 * x;
}
""",
    "remembered": """\
/* The row of values for the row of training that x equals, to the digits of single precision; zeros where it equals
   none. Rows are compared by hashes of the bits of their numbers, whose first 53 bits are the keys. */
typedef char @_needs_double_of_64_bits[sizeof(double) == 8 ? 1 : -1];
static void @_remembered(const @_real *x, int n, const uint64_t *factors, const uint64_t *keys, int rows,
                         const @_real *values, int width, @_real *out)
{
    uint64_t hash = 0, bits;
    int low = 0, high = rows, i;
    for (i = 0; i < n; i++) {
        double number = (float)x[i];
        memcpy(&bits, &number, sizeof bits);
        if (bits == UINT64_C(1) << 63)
            bits = 0; /* -0 is the same as 0 */
        bits ^= bits >> 30;
        bits *= UINT64_C(0xBF58476D1CE4E5B9);
        bits ^= bits >> 27;
        bits *= factors[i];
        bits ^= bits >> 31;
        hash += bits;
    }
    hash >>= 11;
    while (low < high) {
        int middle = (low + high) / 2;
        if (keys[middle] < hash)
            low = middle + 1;
        else
            high = middle;
    }
    for (i = 0; i < width; i++)
        out[i] = low < rows && keys[low] == hash ? values[low * width + i] : 0;
}
""",
    "cells": """\
/* The numbers of a level; one that is none of the enumerators is unknown. */
static void @_cells(const @_real *patterns, int levels, int width, int level, @_real *x)
{
    int i;
    for (i = 0; i < width; i++)
        x[i] = patterns[(level >= 0 && level < levels ? level : 1) * width + i];
}
""",
    "level": """\
/* The level whose spelling is the text: the one behind it in the table. */
static int @_level(const @_spelling *table, int n, int any_case, const char *text)
{
    int k;
    if (!text)
        return 0;
    for (k = 0; k < n; k++) {
        const char *s = table[k].text, *t = text;
        while (*s && (*s == *t || (any_case && table[k].level > 0 && *t >= 'A' && *t <= 'Z' && *s == *t + 32)))
            s++, t++;
        if (*s == *t)
            return table[k].level;
    }
    return 1;
}
""",
}
