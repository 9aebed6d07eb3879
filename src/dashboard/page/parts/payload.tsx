/**
 * Values that others wrote: payloads, inputs, outputs, errors. Always text, never HTML, with what cannot be seen made visible, and hidden
 * until somebody reveals it where the server is set so.
 */
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { encryptedWords, isEncrypted, messageOfError, tellEncrypted } from '../../../message/encrypted-value.ts';
import { visible } from '../../../runtime/terminal-text.ts';
import { mayAct, openAct, type ActSpec } from '../app/acts.ts';
import { sessionState } from '../app/api.ts';
import { sizeText } from '../app/texts.ts';
import { CopyButton } from './copy.tsx';

/** More is cut until somebody asks for it: a browser takes seconds to lay out megabytes. */
const SHOWN = 20_000;

interface PayloadProps {
  readonly title: string;
  readonly value: unknown;
}

export function Payload({ title, value }: PayloadProps): VNode {
  const [whole, showWhole] = useState(false);
  const instead = isHidden(value)
    ? 'hidden'
    : isEncrypted(value)
      ? `${encryptedWords(value)}: nothing here can open it`
      : null;
  const text = value === undefined || instead !== null ? '' : JSON.stringify(value, tellEncrypted, 2);
  return (
    <section class="payload">
      <header>
        <h3>{title}</h3>
        {text === '' ? null : <span class="quiet">{sizeText(text.length)}</span>}
        {text === '' ? null : <CopyButton text={text} what={title.toLowerCase()} />}
      </header>
      {text === '' ? (
        <p class="quiet">{instead ?? 'none'}</p>
      ) : (
        <pre tabIndex={0} aria-label={title}>
          {visible(whole ? text : text.slice(0, SHOWN))}
        </pre>
      )}
      {whole || text.length <= SHOWN ? null : (
        <button type="button" class="button" onClick={() => showWhole(true)}>
          Show all of it
        </button>
      )}
    </section>
  );
}

/** Whether it stands for what the server does not show. */
export function isHidden(value: unknown): boolean {
  const current = sessionState.value;
  if (current.state !== 'in' || !current.session.redact || typeof value !== 'object' || value === null) return false;
  return 'hidden' in value && value.hidden === true && Object.keys(value).length === 1;
}

interface RevealProps {
  /** Path of what is revealed, below /api/. */
  readonly path: string;
  readonly revealed: (answer: unknown) => void;
}

/** Where payloads are hidden, what shows them; the audit says to whom and why. */
export function RevealButton({ path, revealed }: RevealProps): VNode | null {
  const current = sessionState.value;
  if (current.state !== 'in' || !current.session.redact) return null;
  if (!mayAct.value) return <p class="quiet">Payloads are hidden; an operator can reveal them.</p>;
  const spec: ActSpec = {
    title: 'Reveal the payload',
    text: 'You are shown what is hidden here. The audit records that you were.',
    confirm: 'Reveal',
    path: `${path}/reveal`,
    body: (_values, reason) => ({ reason }),
    command: () => null,
    done: revealed,
  };
  return (
    <button type="button" class="button" onClick={() => (openAct.value = spec)}>
      Reveal the payload
    </button>
  );
}

interface FaultFacts {
  readonly name: string;
  readonly message: string;
  readonly code?: string | number;
  readonly status?: number;
  readonly stack?: string;
  readonly cause?: FaultFacts;
  readonly details?: unknown;
}

/** A recorded error, with where it was thrown and what caused it. */
export function Fault({ title, error }: { readonly title: string; readonly error: FaultFacts }): VNode {
  return (
    <section class="payload fault">
      <header>
        <h3>{title}</h3>
        <span class="quiet">
          {[error.name, error.code, error.status].filter((each) => each !== undefined).join(' · ')}
        </span>
        <CopyButton text={`${error.name}: ${messageOfError(error)}\n${error.stack ?? ''}`} what={title.toLowerCase()} />
      </header>
      <p class="fault-text">{visible(messageOfError(error))}</p>
      {error.stack === undefined ? null : (
        <details>
          <summary>Where it was thrown</summary>
          <pre tabIndex={0} aria-label="Stack">
            {visible(error.stack)}
          </pre>
        </details>
      )}
      {error.details === undefined ? null : <Payload title="Details" value={error.details} />}
      {error.cause === undefined ? null : <Fault title="Caused by" error={error.cause} />}
    </section>
  );
}

/** Text of others on one line. */
export function Plain({ text }: { readonly text: string }): VNode {
  return <>{visible(text)}</>;
}
