/**
 * The page of the dashboard: which view an address shows, and everything that runs while it is open.
 */
import { render, type VNode } from 'preact';
import { useEffect } from 'preact/hooks';
import { askSession, sessionState } from './app/api.ts';
import { atAll, databaseNames } from './app/databases.ts';
import { startClock } from './app/clock.ts';
import { listenForKeys } from './app/keys.ts';
import { startLive } from './app/live.ts';
import { followLinks, hrefTo, place, segmentsOf } from './app/router.ts';
import { applyTheme } from './app/settings.ts';
import { ActDialog } from './parts/act-dialog.tsx';
import { Frame, titleOf } from './parts/frame.tsx';
import { HelpDialog } from './parts/help-dialog.tsx';
import { Screen } from './parts/screen.tsx';
import { EmptyNote, FailureNote } from './parts/states.tsx';
import { AlertsScreen } from './views/alerts.tsx';
import { AllOverviewScreen } from './views/all-databases.tsx';
import { AuditScreen } from './views/audit.tsx';
import { DoctorScreen } from './views/doctor.tsx';
import { FindScreen } from './views/find.tsx';
import { LimitsScreen } from './views/limits.tsx';
import { LoginScreen } from './views/login.tsx';
import { MessageScreen } from './views/message.tsx';
import { MessagesScreen } from './views/messages.tsx';
import { OverviewScreen } from './views/overview.tsx';
import { JobScreen, JobsScreen } from './views/jobs.tsx';
import { ParkedGroupsScreen } from './views/parked-groups.tsx';
import { ParkedMessageScreen } from './views/parked-message.tsx';
import { ParkedScreen } from './views/parked.tsx';
import { RunScreen } from './views/run.tsx';
import { RunsScreen } from './views/runs.tsx';
import { ScheduleScreen } from './views/schedule.tsx';
import { SagasScreen } from './views/sagas.tsx';
import { SubscriptionsScreen } from './views/subscriptions.tsx';
import { ChooseScreen, LookForScreen, UnknownDatabaseScreen } from './views/which-database.tsx';
import { WorkersScreen } from './views/workers.tsx';

const LISTS: Readonly<Record<string, () => VNode>> = {
  '': OverviewScreen,
  messages: MessagesScreen,
  parked: ParkedScreen,
  'parked-groups': ParkedGroupsScreen,
  runs: RunsScreen,
  sagas: SagasScreen,
  subscriptions: SubscriptionsScreen,
  workers: WorkersScreen,
  alerts: AlertsScreen,
  jobs: JobsScreen,
  schedule: ScheduleScreen,
  limits: LimitsScreen,
  audit: AuditScreen,
  doctor: DoctorScreen,
  find: FindScreen,
};

const ONE: Readonly<Record<string, (props: { readonly id: string }) => VNode>> = {
  messages: MessageScreen,
  parked: ParkedMessageScreen,
  runs: RunScreen,
  jobs: JobScreen,
};

/** Lists of all databases together; of every other it is asked of which. */
const OVER_ALL: ReadonlySet<string> = new Set(['', 'find']);

function View(): VNode {
  const { database, path } = place.value;
  const [section = '', id, ...more] = segmentsOf(path);
  if (database !== null && !databaseNames.value.includes(database)) return <UnknownDatabaseScreen name={database} />;
  const List = Object.hasOwn(LISTS, section) ? LISTS[section] : undefined;
  const One = Object.hasOwn(ONE, section) ? ONE[section] : undefined;
  const key = `${database ?? ''}/${path}`;
  if (id === undefined && List !== undefined) {
    if (atAll.value && !OVER_ALL.has(section)) return <ChooseScreen key={key} title={titleOf(section)} />;
    return atAll.value && section === '' ? <AllOverviewScreen key={key} /> : <List key={key} />;
  }
  if (id !== undefined && id !== '' && more.length === 0 && One !== undefined) {
    if (atAll.value && section !== 'messages') return <LookForScreen key={key} section={section} id={id} />;
    return <One key={key} id={id} />;
  }
  return (
    <Screen title="Not here">
      <EmptyNote>
        This page has no such view. <a href={hrefTo('')}>Back to the overview</a>
      </EmptyNote>
    </Screen>
  );
}

function Page(): VNode | null {
  const current = sessionState.value;
  if (current.state === 'asking') return null;
  if (current.state === 'out') return <LoginScreen form={current.form} signOn={current.signOn} />;
  if (current.state === 'failed') {
    return (
      <main class="login">
        <h1>Holdfast</h1>
        <FailureNote failure={current.failure} retry={() => void askSession()} />
      </main>
    );
  }
  return <SignedIn />;
}

function SignedIn(): VNode {
  useEffect(() => {
    const stops = [startLive(), startClock(), listenForKeys()];
    return () => {
      for (const stop of stops) stop();
    };
  }, []);
  return (
    <>
      <Frame>
        <View />
      </Frame>
      <ActDialog />
      <HelpDialog />
    </>
  );
}

const root = document.querySelector('#page');
if (root !== null) {
  applyTheme();
  followLinks();
  void askSession();
  render(<Page />, root);
}
