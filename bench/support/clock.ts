/**
 * The machine's monotonic clock, the same in every process, in milliseconds; performance.now() counts from each process's own start.
 */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
