/**
 * What stands around every view: where one can go, the field to find things, whether it is live, who one is.
 */
import type { ComponentChildren, VNode } from 'preact';
import { sessionState, signOut } from '../app/api.ts';
import { flowOf } from '../app/attention.ts';
import { hasSeveral, atAll, databaseNames, schemaNow } from '../app/databases.ts';
import { heardAt, liveState, overview, overviews, paused } from '../app/live.ts';
import { here, hrefTo, navigate, place } from '../app/router.ts';
import { shortcuts, theme, times } from '../app/settings.ts';
import { countText, exactTime } from '../app/texts.ts';
import { Shape } from './marks.tsx';

interface NavItem {
  readonly path: string;
  readonly label: string;
  /** Further views that belong to it. */
  readonly also?: string;
}

const ITEMS: readonly NavItem[] = [
  { path: '', label: 'Overview' },
  { path: 'messages', label: 'Messages' },
  { path: 'parked-groups', label: 'Parked', also: 'parked' },
  { path: 'runs', label: 'Runs' },
  { path: 'sagas', label: 'Sagas' },
  { path: 'subscriptions', label: 'Subscriptions' },
  { path: 'workers', label: 'Workers' },
  { path: 'alerts', label: 'Alerts' },
  { path: 'jobs', label: 'Jobs' },
  { path: 'schedule', label: 'Schedule' },
  { path: 'limits', label: 'Limits' },
  { path: 'audit', label: 'Audit' },
  { path: 'doctor', label: 'Doctor' },
];

/** Of a list. */
export function titleOf(path: string): string {
  return ITEMS.find((item) => item.path === path || item.also === path)?.label ?? path;
}

export function Frame({ children }: { readonly children: ComponentChildren }): VNode {
  return (
    <div class="frame">
      <a
        class="skip-link"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          document.querySelector<HTMLElement>('#main h1')?.focus();
        }}
      >
        Skip to the content
      </a>
      <header class="rail">
        <a class="brand" href={hrefTo('', {}, hasSeveral.value ? null : undefined)}>
          <Logo />
          Holdfast
        </a>
        {hasSeveral.value ? <DatabaseSwitch /> : null}
        <nav aria-label="Views">
          <ul>
            {ITEMS.map((item) => (
              <NavLink key={item.path} item={item} />
            ))}
          </ul>
        </nav>
      </header>
      <div class="top">
        <FindForm />
        <LiveButton />
        <Settings />
      </div>
      <main id="main">{children}</main>
    </div>
  );
}

/** Leads to the same list in another database, or to what there is of all of them. */
function DatabaseSwitch(): VNode {
  const move = (name: string): void => {
    const { path } = place.peek();
    const [section = '', ...more] = path.split('/');
    if (name === ALL) navigate(hrefTo('', {}, null));
    else navigate(hrefTo(more.length === 0 && section !== 'find' ? section : '', {}, name));
  };
  return (
    <label class="switch">
      <span>Database</span>
      <select value={here.value ?? ALL} onChange={(event) => move(event.currentTarget.value)}>
        <option value={ALL}>All databases</option>
        {databaseNames.value.map((name) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

/** No database has that name. */
const ALL = '*';

function Logo(): VNode {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true">
      <path d="M16 4v13M16 17c0 5-3 8-8 9M16 17c0 5 3 8 8 9M16 14c-1 4-4 6-9 6M16 14c1 4 4 6 9 6M16 18v10" />
    </svg>
  );
}

function NavLink({ item: { path, label, also } }: { readonly item: NavItem }): VNode {
  const [section = ''] = place.value.path.split('/');
  const isHere = section === path || section === also;
  const alarm = alarmOf(path);
  return (
    <li>
      <a href={hrefTo(path)} {...(isHere ? { 'aria-current': 'page' as const } : {})}>
        {label}
        {alarm === null ? null : (
          <span class="alarm" aria-label={alarm.said}>
            {countText(alarm.count)}
          </span>
        )}
      </a>
    </li>
  );
}

function alarmOf(path: string): { readonly count: number; readonly said: string } | null {
  const known = atAll.value ? [...overviews.value.values()].map(({ answer }) => answer) : [overview.value];
  const flows = known.flatMap((each) => (each === null ? [] : [flowOf(each)]));
  if (flows.length === 0) return null;
  const dead = flows.reduce((sum, flow) => sum + flow.dead, 0);
  const stuck = flows.reduce((sum, flow) => sum + (flow.stuck ?? 0), 0);
  if (path === 'parked-groups' && dead > 0) return { count: dead, said: `${dead} dead letters` };
  if (path === 'runs' && stuck > 0) return { count: stuck, said: `${stuck} stuck` };
  return null;
}

function FindForm(): VNode {
  const { path, query } = place.value;
  const value = path === 'find' ? (query.get('q') ?? '') : '';
  return (
    <form
      class="find"
      role="search"
      aria-label="Find"
      onSubmit={(event) => {
        event.preventDefault();
        const text = new FormData(event.currentTarget).get('q');
        if (typeof text === 'string' && text.trim() !== '')
          navigate(hrefTo('find', { q: text.trim() }, hasSeveral.peek() ? null : undefined));
      }}
    >
      <input
        key={value}
        id="find"
        name="q"
        defaultValue={value}
        type="search"
        aria-label="Find by id or key"
        placeholder="Find an order, a message, a run: id or key"
        autocomplete="off"
        spellcheck={false}
      />
      <kbd aria-hidden="true">/</kbd>
    </form>
  );
}

function LiveButton(): VNode {
  const state = liveState.value;
  const since = heardAt.value;
  return (
    <button
      type="button"
      class={`live ${state}`}
      aria-pressed={paused.value}
      title={since === null ? 'nothing has come in yet' : `last heard at ${exactTime(since).slice(11, 19)}`}
      onClick={() => {
        paused.value = !paused.peek();
      }}
    >
      <Shape name={state === 'live' ? 'dot' : state === 'paused' ? 'bars' : 'ring'} />
      {state === 'live' ? 'Live' : state === 'paused' ? 'Paused' : 'Connecting'}
    </button>
  );
}

function Settings(): VNode {
  const current = sessionState.value;
  const session = current.state === 'in' ? current.session : null;
  return (
    <>
      <button type="button" class="who-am-i" popovertarget="settings">
        {session === null ? 'Settings' : session.actor}
        {session === null ? null : <span class="quiet">{session.role}</span>}
      </button>
      <div id="settings" popover="auto" class="settings">
        <Choice
          label="Colours"
          name="theme"
          value={theme.value}
          set={(value) => (theme.value = value)}
          choices={['auto', 'light', 'dark']}
        />
        <Choice
          label="Times"
          name="times"
          value={times.value}
          set={(value) => (times.value = value)}
          choices={['ago', 'exact']}
        />
        <Choice
          label="Single keys"
          name="keys"
          value={shortcuts.value}
          set={(value) => (shortcuts.value = value)}
          choices={['on', 'off']}
        />
        {session === null ? null : (
          <p class="quiet">
            Holdfast {session.version}
            {schemaNow.value === null ? '' : `, schema ${schemaNow.value}`}
          </p>
        )}
        {session?.canLogout === true ? (
          <button type="button" class="button" onClick={() => void signOut()}>
            Sign out
          </button>
        ) : null}
      </div>
    </>
  );
}

interface ChoiceProps<T extends string> {
  readonly label: string;
  readonly name: string;
  readonly value: T;
  readonly set: (value: T) => void;
  readonly choices: readonly T[];
}

function Choice<T extends string>({ label, name, value, set, choices }: ChoiceProps<T>): VNode {
  return (
    <fieldset class="choice">
      <legend>{label}</legend>
      {choices.map((each) => (
        <label key={each}>
          <input type="radio" name={name} value={each} checked={each === value} onChange={() => set(each)} />
          {each}
        </label>
      ))}
    </fieldset>
  );
}
