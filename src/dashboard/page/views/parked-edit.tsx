/**
 * A parked message with another payload: edited as JSON, the difference shown and checked by the server, then sent as a new version. What
 * is sent is what was changed, so that what one was not shown stays as it is.
 */
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { commandLine } from '../../server/commands.ts';
import { openAct } from '../app/acts.ts';
import { failureFrom, sendAct, type RequestFailure } from '../app/api.ts';
import { patchBetween, sameJson } from '../app/json-patch.ts';
import { hrefTo, navigate } from '../app/router.ts';
import type { WireParked, WireRevised } from '../app/wire.ts';
import { Difference } from '../parts/difference.tsx';
import { FailureNote } from '../parts/states.tsx';

interface EditFormProps {
  readonly parked: WireParked;
  readonly data: unknown;
  readonly leave: () => void;
}

type Revision = { readonly patch: unknown } | { readonly payload: unknown };

/** What the server has found possible, for what stood in the field then. */
interface Checked {
  readonly text: string;
  readonly after: unknown;
  readonly revision: Revision;
}

export function EditForm({ parked, data, leave }: EditFormProps): VNode {
  const { id, where } = parked;
  // What one began with: the list behind it goes on being read.
  const [before] = useState(data);
  const [text, setText] = useState(() => JSON.stringify(before ?? null, null, 2));
  const [checked, check] = useState<Checked | null>(null);
  const [failure, setFailure] = useState<RequestFailure | null>(null);
  const parsed = parse(text);
  const changed = parsed !== null && !sameJson(parsed.value, before);
  const look = async (): Promise<void> => {
    if (parsed === null) return;
    setFailure(null);
    check(null);
    const revision: Revision = patchBetween(before, parsed.value) ?? { payload: parsed.value };
    try {
      await sendAct(`parked/${encodeURIComponent(id)}/revise/preview`, { consumer: where, ...revision });
      check({ text, after: parsed.value, revision });
    } catch (error) {
      setFailure(failureFrom(error));
    }
  };
  const current = checked?.text === text ? checked : null;
  return (
    <form
      class="edit"
      onSubmit={(event) => {
        event.preventDefault();
        void look();
      }}
    >
      <label class="field">
        <span>Payload as JSON</span>
        <textarea
          class="mono"
          name="payload"
          rows={Math.min(24, Math.max(6, text.split('\n').length))}
          spellcheck={false}
          autofocus
          value={text}
          aria-invalid={parsed === null}
          onInput={(event) => setText(event.currentTarget.value)}
        />
      </label>
      <p class="quiet" role="status">
        {parsed === null ? 'This is not JSON yet.' : changed ? '' : 'Nothing is changed yet.'}
      </p>
      {failure === null ? null : <FailureNote failure={failure} />}
      {current === null ? null : <Difference before={before} after={current.after} />}
      <footer class="acts">
        <button type="button" class="button" onClick={leave}>
          Leave it as it is
        </button>
        <button class={current === null ? 'button strong' : 'button'} disabled={!changed}>
          Show the difference
        </button>
        {current === null ? null : (
          <button type="button" class="button strong" onClick={() => askRevise(parked, current.revision)}>
            Send it as a new version
          </button>
        )}
      </footer>
    </form>
  );
}

function askRevise({ id, where, topic }: WireParked, revision: Revision): void {
  const flags = Object.fromEntries(Object.entries(revision).map(([name, value]) => [name, JSON.stringify(value)]));
  openAct.value = {
    title: 'Put the new version in its place',
    text: `${where} handles ${topic} with the new payload next, in the place that the message has in the line of its key. The old version counts as handled.`,
    confirm: 'Send it',
    path: `parked/${encodeURIComponent(id)}/revise`,
    body: (_values, reason) => ({ consumer: where, ...revision, reason }),
    command: (_values, reason) => commandLine(['parked', 'edit', id], { consumer: where, ...flags, yes: true, reason }),
    done: (answer) => navigate(hrefTo(`parked/${(answer as { readonly revised: WireRevised }).revised.id}`)),
  };
}

function parse(text: string): { readonly value: unknown } | null {
  try {
    return { value: JSON.parse(text) as unknown };
  } catch {
    return null;
  }
}
