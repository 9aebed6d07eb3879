/**
 * Cookies as headers have them.
 */

export interface NewCookie {
  /** Without the mark of HTTPS. */
  readonly name: string;
  readonly value: string;
  readonly path: string;
  /** 0: it is taken away. */
  readonly seconds: number;
  /** lax: it also comes along when a page of somebody else leads here. */
  readonly sameSite: 'Strict' | 'Lax';
  readonly https: boolean;
}

/** As the header Set-Cookie has it; scripts cannot read it. Pure. */
export function setCookie({ name, value, path, seconds, sameSite, https }: NewCookie): string {
  const secure = https ? '; Secure' : '';
  return `${markedName(name, https)}=${value}; Path=${path}; Max-Age=${seconds}; HttpOnly; SameSite=${sameSite}${secure}`;
}

/** Values of all cookies of that name: of several paths there may be several. Pure. */
export function cookiesOf(header: string | null, name: string, https: boolean): readonly string[] {
  const pairs = (header ?? '').split(';').map((part) => part.trim().split('='));
  return pairs.flatMap(([each, value = '']) => (each === markedName(name, https) ? [value] : []));
}

/** The name says that it came by HTTPS only: then nothing that listens on plain HTTP can have set it. */
function markedName(name: string, https: boolean): string {
  return https ? `__Secure-${name}` : name;
}
