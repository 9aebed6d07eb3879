/**
 * Named places around every I/O of relay, inbox and saga, so that tests can stop the process (or the call) exactly there.
 * In production the hook is `noCrash`.
 */

/** Called as `point('relay.publish:before')`, then `point('relay.publish:after')`. May throw, or kill the process. */
export type CrashPoint = (point: string) => void;

export const noCrash: CrashPoint = () => {};
