/**
 * Loads the consumers and participants of a folder or a file: whatever its modules export that createConsumer(…) or createParticipant(…)
 * made. They are started and stopped with the process that loads them.
 */
import { HoldfastError } from '../../errors.ts';
import type { Consumer } from '../../inbox/consumer.ts';
import { loadExports } from './load-modules.ts';

/** Rejects as loadExports does, and with HF_CONFIG, naming the files, for two of one name: they would share marks and parked messages. */
export async function loadConsumers(path: string, folder: string): Promise<readonly Consumer[]> {
  const found = await loadExports({
    path,
    folder,
    what: 'consumer',
    advice: {
      path: 'Check --consumers, HOLDFAST_CONSUMERS or consumers in holdfast.config.ts; it is a folder or a file.',
      empty:
        "Export what createConsumer(…) or createParticipant(…) returns from a module there: export const billing = createConsumer('billing', { … }).",
    },
    isOne: isConsumer,
  });
  const files = new Map<string, string>();
  for (const [{ name }, file] of found) {
    const twin = files.get(name);
    files.set(name, file);
    if (twin === undefined) continue;
    const where = twin === file ? `${file} has` : `${twin} and ${file} have`;
    throw new HoldfastError('HF_CONFIG', `${where} two consumers named '${name}'.`, {
      advice: 'Give each a name of its own: marks, parked messages and retries are kept under it.',
    });
  }
  return [...found.keys()];
}

/** By its shape: the module may have another copy of the package. */
function isConsumer(value: unknown): value is Consumer {
  if (typeof value !== 'object' || value === null) return false;
  const { name, start, stop, handle, brokerHealth } = value as Partial<Record<keyof Consumer, unknown>>;
  return typeof name === 'string' && [start, stop, handle, brokerHealth].every((each) => typeof each === 'function');
}
