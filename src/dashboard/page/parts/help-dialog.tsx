/**
 * Which keys do what.
 */
import type { VNode } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { helpOpen, KEY_HELP } from '../app/keys.ts';

export function HelpDialog(): VNode | null {
  return helpOpen.value ? <OpenHelp /> : null;
}

function OpenHelp(): VNode {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  const close = (): void => {
    helpOpen.value = false;
  };
  return (
    <dialog ref={dialog} class="act help" aria-labelledby="help-title" onClose={close}>
      <h2 id="help-title">Keys</h2>
      <dl class="keys">
        {KEY_HELP.map(([keys, what]) => (
          <div key={keys}>
            <dt>
              {keys.split(' ').map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <footer>
        <button type="button" class="button strong" autofocus onClick={close}>
          Close
        </button>
      </footer>
    </dialog>
  );
}
