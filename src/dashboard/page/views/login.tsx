/**
 * Where one says who one is, with a token.
 */
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { failureFrom, signIn, type RequestFailure } from '../app/api.ts';
import { FailureNote } from '../parts/states.tsx';

export function LoginScreen({ form }: { readonly form: boolean }): VNode {
  const [failure, setFailure] = useState<RequestFailure | null>(null);
  const [busy, setBusy] = useState(false);
  const send = async (token: string): Promise<void> => {
    setBusy(true);
    try {
      await signIn(token);
    } catch (error) {
      setFailure(failureFrom(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <main class="login">
      <h1>Holdfast</h1>
      {form ? (
        <form
          method="post"
          action="login"
          onSubmit={(event) => {
            event.preventDefault();
            const token = new FormData(event.currentTarget).get('token');
            void send(typeof token === 'string' ? token : '');
          }}
        >
          <label class="field">
            <span>Token</span>
            <input name="token" type="password" required autofocus autocomplete="current-password" />
          </label>
          {failure === null ? null : <FailureNote failure={failure} />}
          <button class="button strong" disabled={busy}>
            {busy ? 'Asking…' : 'Sign in'}
          </button>
          <p class="quiet">Whoever runs this dashboard gives out tokens; each has a role.</p>
        </form>
      ) : (
        <p>
          You are not known here. This dashboard takes who you are from a proxy in front of it: come by way of that.
        </p>
      )}
    </main>
  );
}
