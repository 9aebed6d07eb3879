/**
 * Runs that a run starts: in the commit that records the call.
 */
import { encodePayload } from '../../message/payload.ts';
import { validate } from '../../message/validate.ts';
import type { Run } from '../run/run.ts';
import { valueOf } from '../journal/state.ts';
import type { ChildStep } from '../definition/steps.ts';

/** The input of the child as JSON. Rejects with what is wrong with it. */
export async function childInput(
  run: Run,
  definition: ChildStep,
  call: { readonly id: string; readonly input: string | undefined },
): Promise<string> {
  const where = `${run.saga.name}, input of ${call.id}`;
  const validated = validate(definition.saga.input, valueOf(call.input), where);
  const value = validated instanceof Promise ? await validated : validated.value;
  return encodePayload(value, { maxBytes: run.settings.maxBytes, where });
}

/** Puts its start into the next commit. */
export function startChild(
  run: Run,
  definition: ChildStep,
  child: { readonly id: string; readonly call: string; readonly input: string; readonly at: number },
): void {
  const { name, version, deadlineMs } = definition.saga;
  const deadlineAt = deadlineMs === null ? null : child.at + deadlineMs;
  const deadline = deadlineAt === null ? '' : `,"deadlineAt":${deadlineAt}`;
  run.startChild(
    {
      id: child.id,
      saga: name,
      version,
      held: false,
      status: 'pending',
      deadlineAt,
      parent: { id: run.id, call: child.call },
    },
    `[{"t":"started"${deadline},"input":${child.input}}]`,
  );
}
