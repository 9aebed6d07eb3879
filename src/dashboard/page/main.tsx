/**
 * The page of the dashboard: which view an address shows, and everything that runs while it is open.
 */
import { render, type VNode } from 'preact';
import { useEffect } from 'preact/hooks';
import { askSession, sessionState } from './app/api.ts';
import { startClock } from './app/clock.ts';
import { listenForKeys } from './app/keys.ts';
import { startLive } from './app/live.ts';
import { followLinks, hrefTo, place, segmentsOf } from './app/router.ts';
import { applyTheme } from './app/settings.ts';
import { ActDialog } from './parts/act-dialog.tsx';
import { Frame } from './parts/frame.tsx';
import { HelpDialog } from './parts/help-dialog.tsx';
import { Screen } from './parts/screen.tsx';
import { EmptyNote, FailureNote } from './parts/states.tsx';
import { AlertsScreen } from './views/alerts.tsx';
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

function View(): VNode {
  const [section = '', id, ...more] = segmentsOf(place.value.path);
  const List = Object.hasOwn(LISTS, section) ? LISTS[section] : undefined;
  const One = Object.hasOwn(ONE, section) ? ONE[section] : undefined;
  if (id === undefined && List !== undefined) return <List key={section} />;
  if (id !== undefined && id !== '' && more.length === 0 && One !== undefined)
    return <One key={`${section}/${id}`} id={id} />;
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
