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
import type { WireParked, WirePreview, WireRevised } from '../app/wire.ts';
import { Difference } from '../parts/difference.tsx';
import { FailureNote } from '../parts/states.tsx';
import { placeFlag } from './parked-acts.ts';

interface EditFormProps {
  readonly parked: WireParked;
  readonly data: unknown;
  readonly leave: () => void;
  /** The new version has the id of the old one, so this page is its page. */
  readonly stays: () => void;
}

type Revision = { readonly patch: unknown } | { readonly payload: unknown };

/** What the server has found possible, for what stood in the field then. */
interface Checked {
  readonly text: string;
  readonly after: unknown;
  readonly revision: Revision;
  readonly inDoubt: boolean;
}

export function EditForm({ parked, data, leave, stays }: EditFormProps): VNode {
  const { id } = parked;
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
      const body = { ...placeFlag(parked), ...revision };
      const { inDoubt } = await sendAct<WirePreview>(`parked/${encodeURIComponent(id)}/revise/preview`, body);
      check({ text, after: parsed.value, revision, inDoubt });
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
      {current?.inDoubt ? (
        <p role="status">
          It may have gone out as it was: a relay was lost while it published it. Where it has arrived, that stands.
        </p>
      ) : null}
      <footer class="acts">
        <button type="button" class="button" onClick={leave}>
          Leave it as it is
        </button>
        <button class={current === null ? 'button strong' : 'button'} disabled={!changed}>
          Show the difference
        </button>
        {current === null ? null : (
          <button type="button" class="button strong" onClick={() => askRevise(parked, current.revision, stays)}>
            Send it as a new version
          </button>
        )}
      </footer>
    </form>
  );
}

function askRevise(parked: WireParked, revision: Revision, stays: () => void): void {
  const { id, kind, where, topic } = parked;
  const place = placeFlag(parked);
  const flags = Object.fromEntries(Object.entries(revision).map(([name, value]) => [name, JSON.stringify(value)]));
  openAct.value = {
    title: 'Put the new version in its place',
    text:
      kind === 'consumer'
        ? `${where} handles ${topic} with the new payload next, in the place that the message has in the line of its key. The old version counts as handled.`
        : `The relay of ${where} publishes ${topic} with the new payload next, in the place that the message has in the line of its key. The log keeps it as it was written, and so it goes out by other subscriptions and replays.`,
    confirm: 'Send it',
    path: `parked/${encodeURIComponent(id)}/revise`,
    body: (_values, reason) => ({ ...place, ...revision, reason }),
    command: (_values, reason) => commandLine(['parked', 'edit', id], { ...place, ...flags, yes: true, reason }),
    done: (answer) => {
      const { revised } = answer as { readonly revised: WireRevised };
      if (revised.id === id) stays();
      else navigate(hrefTo(`parked/${revised.id}`));
    },
  };
}

function parse(text: string): { readonly value: unknown } | null {
  try {
    return { value: JSON.parse(text) as unknown };
  } catch {
    return null;
  }
}
