// The quantile of Student's t distribution for intervals of 95%.

/** The 97.5% quantile of the normal distribution. */
const NORMAL = 1.959963984540054;
/** With more degrees of freedom, an expansion has an error below 1e-8. */
const MOST_SUMMED = 200;
const known = new Map<number, number>();

/** Returns the probability of a value between `-value` and `value` (Abramowitz and Stegun, 26.7.3 and 26.7.4). */
function twoSided(value: number, degrees: number): number {
  const angle = Math.atan2(value, Math.sqrt(degrees));
  const square = Math.cos(angle) ** 2;
  const odd = degrees % 2 === 1;
  let term = odd ? Math.cos(angle) : 1;
  let total = degrees === 1 ? 0 : term;
  for (let at = odd ? 3 : 2; at < degrees - 1; at += 2) {
    term *= (square * (at - 1)) / at;
    total += term;
  }
  return odd ? (2 / Math.PI) * (angle + Math.sin(angle) * total) : Math.sin(angle) * total;
}

function find(degrees: number): number {
  if (degrees > MOST_SUMMED) {
    const z = NORMAL;
    return z + (z ** 3 + z) / (4 * degrees) + (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * degrees ** 2) + (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / (384 * degrees ** 3);
  }
  let [low, high] = [NORMAL, 13];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (twoSided(middle, degrees) < 0.95) low = middle;
    else high = middle;
  }
  return low;
}

/** Returns the 97.5% quantile, for a two-sided interval of 95%. `degrees` is a whole number from 1. */
export function studentT(degrees: number): number {
  const value = known.get(degrees) ?? find(degrees);
  known.set(degrees, value);
  return value;
}
