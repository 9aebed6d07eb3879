/**
 * The error of a parked message as it is kept: its text may quote what is encrypted everywhere else.
 */
import { describeError } from '../../runtime/describe-error.ts';
import { kindOfError } from '../../runtime/quiet-log.ts';
import type { ConsumerContext } from './consumer-context.ts';

/** With a codec: name and code, and the text encrypted for the message of that id. Null: there is no error. */
export function keptErrorText<Tx>(
  { codec, name: consumer }: Pick<ConsumerContext<Tx>, 'codec' | 'name'>,
  messageId: string,
  error: unknown,
): string | null {
  if (error === null || error === undefined) return null;
  const text = describeError(error);
  if (codec === null) return text;
  const { name, code } = kindOfError(error);
  const value = codec.encode(JSON.stringify(text), `parked:${consumer}:${messageId}:error`);
  return `${name}: ${code === undefined ? '' : `[${code}] `}encrypted ${value}`;
}
