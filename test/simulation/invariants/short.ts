/** A run in few letters. */
export function short(runId: string): string {
  return `run ${runId.startsWith('00000000-0000-7000') ? Number(runId.slice(-12)) : 'child'}`;
}
