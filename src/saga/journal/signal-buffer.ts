/**
 * Signals that a run has taken in and that its code has not waited for, in the order of arrival, with their size. Pure.
 */
import { bytesOf } from './growth.ts';

export interface BufferedSignal {
  readonly name: string;
  readonly payload: string | undefined;
}

export interface SignalBuffer {
  readonly signals: BufferedSignal[];
  signalBytes: number;
}

export function bufferSignal(buffer: SignalBuffer, signal: BufferedSignal): void {
  buffer.signals.push(signal);
  buffer.signalBytes += bytesOf(signal.payload);
}

/** The oldest signal of that name goes to the wait that is done. */
export function takeSignal(buffer: SignalBuffer, name: string): void {
  const index = buffer.signals.findIndex((signal) => signal.name === name);
  if (index < 0) return;
  const [taken] = buffer.signals.splice(index, 1);
  buffer.signalBytes -= bytesOf(taken?.payload);
}
