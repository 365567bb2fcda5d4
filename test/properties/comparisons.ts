/**
 * How many codes were compared with a challenge's. The test files put a counter between the service and its
 * comparison, since neither an answer nor a row says whether there was one.
 */
export const comparisons = { made: 0 };
