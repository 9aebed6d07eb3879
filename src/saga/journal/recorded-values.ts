/**
 * Values of a call as its declaration of today takes them. A command's input and the reply to it were recorded in the versions that their
 * types had then, and those versions with them; the upcasts of the types raise them. Pure. Used wherever what is recorded is needed
 * again: at a replay, when a command is sent again, and when it is compensated.
 */
import { upcastPayload } from '../../message/decode.ts';
import type { MessageType } from '../../message/message-type.ts';
import type { StepDefinition } from '../definition/steps.ts';

/** Of what has no types, or was recorded without a version, the value as it is. Throws HF_MESSAGE_VERSION and HF_PAYLOAD_INVALID. */
export function raisedInput(step: StepDefinition | undefined, version: number | null, input: unknown): unknown {
  return raised(step?.inputType ?? null, version, input);
}

export function raisedOutput(step: StepDefinition | undefined, version: number | null, output: unknown): unknown {
  return raised(step?.outputType ?? null, version, output);
}

function raised(type: MessageType | null, version: number | null, value: unknown): unknown {
  if (type === null || version === null || version === type.version || value === undefined) return value;
  return upcastPayload(type, { id: 'recorded', version, data: value });
}

/** The version under which an input is recorded: of the message, or of the child's saga. */
export function inputVersionOf({ inputType, saga }: StepDefinition): number | null {
  return inputType?.version ?? saga?.version ?? null;
}

/** The version under which an output is recorded. */
export function outputVersionOf(step: StepDefinition | undefined): number | null {
  return step?.outputType?.version ?? null;
}
