/**
 * Ids and commands to take along.
 */
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { visible } from '../../../runtime/terminal-text.ts';
import { commandHere } from '../app/databases.ts';
import { shortId } from '../app/texts.ts';

const SAID_MS = 1_500;

export function CopyButton({ text, what }: { readonly text: string; readonly what: string }): VNode {
  const [copied, setCopied] = useState(false);
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
      setTimeout(() => setCopied(false), SAID_MS);
    } catch {
      // Without a secure context there is no clipboard; the text can be selected.
    }
  };
  return (
    <button type="button" class="button small" aria-label={`Copy ${what}`} onClick={() => void copy()}>
      {copied ? 'Copied' : 'Copy'}
    </button>
  );
}

/** A command of the command line that does the same as what stands beside it. */
export function CommandText({ command }: { readonly command: string }): VNode {
  const whole = commandHere(command);
  return (
    <div class="command">
      <code>{visible(whole)}</code>
      <CopyButton text={whole} what="the command" />
    </div>
  );
}

/** An id: its end in lists, all of it in its title. */
export function IdText({ id }: { readonly id: string }): VNode {
  return (
    <span class="id" title={id}>
      {shortId(id)}
    </span>
  );
}
