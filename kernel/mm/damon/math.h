/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Arithmetic on what users give.
 *
 * sysfs takes any number that an unsigned long can be, for sizes, times, counts and
 * bounds alike.  So a product or a sum of two of them need not fit into a u64.  What
 * is here saturates: the result is the largest value where the true one is larger.
 */
#ifndef _MM_DAMON_MATH_H
#define _MM_DAMON_MATH_H

#include <linux/bug.h>
#include <linux/ktime.h>
#include <linux/limits.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/overflow.h>

/* The longest time in microseconds that fits into a ktime_t, and an unsigned long. */
#define DAMON_MOST_US	min_t(u64, KTIME_MAX / NSEC_PER_USEC, ULONG_MAX)

/* A time in nanoseconds: the longest that a ktime_t can be where it is longer. */
static inline u64 damon_us_to_ns(u64 us)
{
	return min_t(u64, us, KTIME_MAX / NSEC_PER_USEC) * NSEC_PER_USEC;
}

static inline u64 damon_add_u64(u64 a, u64 b)
{
	u64 sum;

	return check_add_overflow(a, b, &sum) ? U64_MAX : sum;
}

/* x * num / den; the most there can be where that is more.  @den is not 0. */
static inline u64 damos_muldiv(u64 x, u64 num, u64 den)
{
	u64 rest, whole;

	if (WARN_ON_ONCE(!den))
		return U64_MAX;
	whole = div64_u64_rem(x, den, &rest);
	if (check_mul_overflow(whole, num, &whole))
		return U64_MAX;
	/* As @rest is less than @den, this is less than @num. */
	return damon_add_u64(whole, mul_u64_u64_div_u64(rest, num, den));
}

/**
 * struct damon_mean - the mean of values that have a weight each
 * @weights:	sum of the weights, in units of 2 to the power of @shift
 * @sum:	sum of the products of value and weight, likewise
 * @shift:	as much as it takes for @weights to fit into 32 bits
 *
 * Begin with zeros.
 */
struct damon_mean {
	u64 weights;
	u64 sum;
	unsigned int shift;
};

static inline void damon_mean_add(struct damon_mean *mean, u64 weight, u32 value)
{
	weight >>= mean->shift;
	while (weight > U32_MAX - mean->weights) {
		weight /= 2;
		mean->weights /= 2;
		mean->sum /= 2;
		mean->shift++;
	}
	mean->weights += weight;
	mean->sum += weight * value;
}

/* The mean in ten thousandths of @most, which is not 0; 0 without any weight. */
static inline u64 damon_mean_bp(const struct damon_mean *mean, u32 most)
{
	return damos_muldiv(mean->sum, 10000, max(mean->weights, 1ULL) * most);
}

#endif /* _MM_DAMON_MATH_H */
