/**
 * The dialog that every act goes through: what will happen, why it is done, the command that does the same.
 */
import type { VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { openAct, type ActField, type ActSpec, type ActValues } from '../app/acts.ts';
import { failureFrom, sendAct, type RequestFailure } from '../app/api.ts';
import { hrefTo } from '../app/router.ts';
import { CommandText } from './copy.tsx';
import { FailureNote } from './states.tsx';

export function ActDialog(): VNode | null {
  const spec = openAct.value;
  return spec === null ? null : <OpenDialog key={spec.title} spec={spec} />;
}

type Progress =
  | { readonly t: 'asking' }
  | { readonly t: 'sending' }
  | { readonly t: 'done'; readonly command: string | null };

function OpenDialog({ spec }: { readonly spec: ActSpec }): VNode {
  const dialog = useRef<HTMLDialogElement>(null);
  const [values, setValues] = useState<ActValues>(
    Object.fromEntries((spec.fields ?? []).map(({ name, value = '' }) => [name, value])),
  );
  const [reason, setReason] = useState('');
  const [progress, setProgress] = useState<Progress>({ t: 'asking' });
  const [failure, setFailure] = useState<RequestFailure | null>(null);
  useEffect(() => {
    const opener = document.activeElement;
    dialog.current?.showModal();
    return () => (opener instanceof HTMLElement ? opener.focus() : undefined);
  }, []);
  const close = (): void => {
    openAct.value = null;
  };
  const send = async (): Promise<void> => {
    setFailure(null);
    setProgress({ t: 'sending' });
    try {
      const answer = await sendAct<{ readonly command?: string }>(spec.path, spec.body(values, reason.trim()));
      setProgress({ t: 'done', command: answer.command ?? spec.command(values, reason.trim()) });
      spec.done(answer);
    } catch (error) {
      setFailure(failureFrom(error));
      setProgress({ t: 'asking' });
    }
  };
  const same = spec.command(values, reason.trim() === '' ? '…' : reason.trim());
  return (
    <dialog ref={dialog} class="act" aria-labelledby="act-title" onClose={close}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void send();
        }}
      >
        <h2 id="act-title">{spec.title}</h2>
        {progress.t === 'done' ? (
          <DoneText command={progress.command} close={close} />
        ) : (
          <>
            <p>{spec.text}</p>
            {spec.lines === undefined ? null : (
              <ul class="meets quiet">
                {spec.lines.map((line) => (
                  <li key={line}>{line}</li>
                ))}
              </ul>
            )}
            {(spec.fields ?? []).map((field) => (
              <Field
                key={field.name}
                field={field}
                value={values[field.name] ?? ''}
                change={(value) => setValues((before) => ({ ...before, [field.name]: value }))}
              />
            ))}
            <label class="field">
              <span>Reason, for the audit</span>
              <textarea
                name="reason"
                rows={2}
                required
                autofocus
                value={reason}
                onInput={(event) => setReason(event.currentTarget.value)}
              />
            </label>
            {same === null ? null : (
              <>
                <p class="quiet">The same from the command line:</p>
                <CommandText command={same} />
              </>
            )}
            {failure === null ? null : <FailureNote failure={failure} />}
            <footer>
              <button type="button" class="button" onClick={close}>
                Leave it
              </button>
              <button
                class={spec.grave === true ? 'button grave' : 'button strong'}
                disabled={progress.t === 'sending' || reason.trim() === ''}
              >
                {progress.t === 'sending' ? 'Sending…' : spec.confirm}
              </button>
            </footer>
          </>
        )}
      </form>
    </dialog>
  );
}

function DoneText({ command, close }: { readonly command: string | null; readonly close: () => void }): VNode {
  return (
    <>
      <p role="status">
        Done, and written into the{' '}
        <a href={hrefTo('audit')} onClick={close}>
          audit
        </a>
        .{command === null ? '' : ' From the command line it is:'}
      </p>
      {command === null ? null : <CommandText command={command} />}
      <footer>
        <button type="button" class="button strong" onClick={close} autofocus>
          Close
        </button>
      </footer>
    </>
  );
}

interface FieldProps {
  readonly field: ActField;
  readonly value: string;
  readonly change: (value: string) => void;
}

function Field({ field, value, change }: FieldProps): VNode {
  const { name, label, kind, choices = [], required = false } = field;
  if (kind === 'choice') {
    return (
      <fieldset class="choices">
        <legend>{label}</legend>
        {choices.map(([each, text]) => (
          <label key={each}>
            <input
              type="radio"
              name={name}
              value={each}
              required
              checked={each === value}
              onChange={() => change(each)}
            />
            {text}
          </label>
        ))}
      </fieldset>
    );
  }
  return (
    <label class="field">
      <span>{label}</span>
      {kind === 'json' ? (
        <textarea
          class="mono"
          name={name}
          rows={4}
          spellcheck={false}
          value={value}
          onInput={(event) => {
            const input = event.currentTarget;
            input.setCustomValidity(isJson(input.value) ? '' : 'This is not JSON.');
            change(input.value);
          }}
        />
      ) : (
        <input
          name={name}
          value={value}
          required={required}
          autocomplete="off"
          onInput={(event) => change(event.currentTarget.value)}
        />
      )}
    </label>
  );
}

function isJson(text: string): boolean {
  if (text.trim() === '') return true;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
