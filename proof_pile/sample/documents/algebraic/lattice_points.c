/* Counting lattice points in a circle, by rows and by sums of two squares, and a fit of the error's size. */

#include <gsl/gsl_fit.h>
#include <gsl/gsl_math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Integer square root: the largest r with r * r <= n, by Newton's iteration from above. */
static uint64_t isqrt(uint64_t n)
{
    if (n < 2)
        return n;
    uint64_t r = n, next = n / 2 + 1;
    while (next < r) {
        r = next;
        next = (r + n / r) / 2;
    }
    return r;
}

/* N(R) = number of (x, y) with x*x + y*y <= n, row by row. */
static uint64_t circle_points(uint64_t n)
{
    const uint64_t radius = isqrt(n);
    uint64_t total = 0;
    for (uint64_t x = 0; x <= radius; ++x) {
        const uint64_t row = 2 * isqrt(n - x * x) + 1;
        total += (x == 0) ? row : 2 * row;
    }
    return total;
}

/* r2(n) = 4 (d1(n) - d3(n)), where di counts the divisors congruent to i modulo 4. */
static int64_t representations(uint64_t n)
{
    if (n == 0)
        return 1;
    int64_t balance = 0;
    for (uint64_t d = 1; d * d <= n; ++d) {
        if (n % d)
            continue;
        const uint64_t pair[2] = {d, n / d};
        const int count = (d * d == n) ? 1 : 2;
        for (int i = 0; i < count; ++i) {
            if (pair[i] % 4 == 1)
                ++balance;
            else if (pair[i] % 4 == 3)
                --balance;
        }
    }
    return 4 * balance;
}

static int check_identity(uint64_t limit)
{
    int64_t running = 0;
    for (uint64_t n = 0; n <= limit; ++n) {
        running += representations(n);
        if ((uint64_t)running != circle_points(n)) {
            fprintf(stderr, "mismatch at n = %llu\n", (unsigned long long)n);
            return 0;
        }
    }
    return 1;
}

/* Least squares through (log n, log |error|): the slope estimates the exponent of the error term. */
static double error_exponent(int num_points)
{
    double *x = malloc(sizeof *x * (size_t)num_points);
    double *y = malloc(sizeof *y * (size_t)num_points);
    double c0, c1, cov00, cov01, cov11, sumsq;
    int used = 0;
    for (int k = 0; k < num_points; ++k) {
        const uint64_t n = (uint64_t)1000 * (uint64_t)(k + 1) * (uint64_t)(k + 1);
        const double error = fabs((double)circle_points(n) - M_PI * (double)n);
        if (error > 0.0) {
            x[used] = log((double)n);
            y[used] = log(error);
            ++used;
        }
    }
    gsl_fit_linear(x, 1, y, 1, (size_t)used, &c0, &c1, &cov00, &cov01, &cov11, &sumsq);
    free(x);
    free(y);
    return c1;
}

int main(void)
{
    if (!check_identity(2000))
        return EXIT_FAILURE;
    printf("lattice points for n = 10^6: %llu\n", (unsigned long long)circle_points(1000000));
    printf("fitted exponent of the error: %.3f (conjectured limit 1/4 in n)\n", error_exponent(200));
    return EXIT_SUCCESS;
}
