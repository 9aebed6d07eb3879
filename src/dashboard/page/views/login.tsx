/**
 * Where one says who one is: with a token, or at an identity provider.
 */
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { failureFrom, signIn, type RequestFailure } from '../app/api.ts';
import { hrefTo, place } from '../app/router.ts';
import { FailureNote } from '../parts/states.tsx';

interface LoginProps {
  readonly form: boolean;
  /** What the identity provider is called; null: there is none. */
  readonly signOn: string | null;
}

export function LoginScreen({ form, signOn }: LoginProps): VNode {
  const refusal = refusalOf(place.value.query.get('login'));
  return (
    <main class="login">
      <h1>Holdfast</h1>
      {refusal === null ? null : (
        <p class="note bad" role="alert">
          {refusal}
        </p>
      )}
      {signOn === null ? null : (
        // With a target, so that the page does not take it for a view of its own.
        <a class="button strong" href={hrefTo('login/sso', { to: addressNow() })} target="_self">
          Sign in with {signOn}
        </a>
      )}
      {form ? <TokenForm beside={signOn !== null} /> : null}
      {form || signOn !== null ? null : (
        <p>
          You are not known here. This dashboard takes who you are from a proxy in front of it: come by way of that.
        </p>
      )}
    </main>
  );
}

function TokenForm({ beside }: { readonly beside: boolean }): VNode {
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
        <span>{beside ? 'Or a token' : 'Token'}</span>
        <input name="token" type="password" required autofocus={!beside} autocomplete="current-password" />
      </label>
      {failure === null ? null : <FailureNote failure={failure} />}
      <button class={beside ? 'button' : 'button strong'} disabled={busy}>
        {busy ? 'Asking…' : beside ? 'Sign in with it' : 'Sign in'}
      </button>
      <p class="quiet">Whoever runs this dashboard gives out tokens; each has a role.</p>
    </form>
  );
}

/** Where one is, to come back to; without what a login that failed has left. */
function addressNow(): string {
  const { path, query } = place.value;
  return hrefTo(path, { ...Object.fromEntries(query), login: null });
}

const REFUSALS: Readonly<Record<string, string>> = {
  '400': 'The login took too long, or was begun elsewhere. Begin it anew.',
  '401': 'You were not confirmed. Try again; the log of the dashboard says more.',
  '403': 'You are known, and have no role here. Whoever runs this dashboard gives roles.',
  '429': 'Too many logins have failed from your address. Wait a minute.',
  '503': 'The identity provider does not answer now. Try again in a moment.',
};

/** Of a login that the server has sent back here, by its status. */
function refusalOf(status: string | null): string | null {
  return status === null ? null : (REFUSALS[status] ?? 'The login has failed.');
}
