/**
 * What is alerting: since when, whether it was told, and who watches.
 */
import type { VNode } from 'preact';
import { placeOfAlert } from '../app/attention.ts';
import { overview, overviewFailure } from '../app/live.ts';
import { hrefTo } from '../app/router.ts';
import type { Look } from '../app/story.ts';
import { spanText } from '../app/texts.ts';
import type { WireAlert, WireAlerts } from '../app/wire.ts';
import { CommandText } from '../parts/copy.tsx';
import { Shape, toneLook } from '../parts/marks.tsx';
import { Plain } from '../parts/payload.tsx';
import { Screen, ValueList } from '../parts/screen.tsx';
import { EmptyNote, FailureNote, LoadingNote } from '../parts/states.tsx';

export function AlertsScreen(): VNode {
  const current = overview.value;
  const failure = overviewFailure.value;
  return (
    <Screen title="Alerts">
      {failure === null ? null : <FailureNote failure={failure} />}
      {current === null ? (
        failure === null ? (
          <LoadingNote />
        ) : null
      ) : current.alerts === null ? (
        <EmptyNote>The role of the database may not read alerts.</EmptyNote>
      ) : (
        <Alerting alerts={current.alerts} />
      )}
      <p class="quiet">From the command line:</p>
      <CommandText command="holdfast alerts" />
    </Screen>
  );
}

function Alerting({ alerts: { items, watched, tells } }: { readonly alerts: WireAlerts }): VNode {
  const last = watched.flatMap(({ lookedAgoMs }) => lookedAgoMs ?? []);
  return (
    <>
      {items.length === 0 ? (
        <EmptyNote>Nothing is wrong that alerts are there for.</EmptyNote>
      ) : (
        <ul class="findings">
          {items.map((alert) => (
            <OneAlert key={`${alert.kind} ${alert.subject}`} alert={alert} />
          ))}
        </ul>
      )}
      <h2>Who watches</h2>
      {last.length === 0 ? (
        <EmptyNote>
          Nobody: what is wrong shows here, and nobody is told. Give the relay or a worker <code>alerts</code> in
          holdfast.config.ts, or <code>--alert-webhook</code>.
        </EmptyNote>
      ) : (
        <ValueList
          facts={[
            ...watched.map(({ area, lookedAgoMs, watcher }): readonly [string, string] => [
              area,
              lookedAgoMs === null ? 'nobody' : `${watcher ?? 'somebody'}, ${spanText(lookedAgoMs)} ago`,
            ]),
            tells === null ? null : ['Told to', tells.join(', ')],
          ]}
        />
      )}
    </>
  );
}

const LOOKS: Readonly<Record<WireAlert['state'], Look>> = {
  firing: toneLook('bad', 'firing'),
  new: toneLook('bad', 'new'),
  pending: toneLook('warn', 'pending'),
  clearing: toneLook('ok', 'is over'),
};

function OneAlert({ alert }: { readonly alert: WireAlert }): VNode {
  const { kind, subject, state, summary, advice } = alert;
  const { path, query } = placeOfAlert(alert);
  const { tone, shape, word } = LOOKS[state];
  return (
    <li class={`note ${tone}`}>
      <Shape name={shape} />
      <div>
        <p>
          <a href={hrefTo(path, query)}>
            <b>
              <Plain text={summary} />
            </b>
          </a>
        </p>
        <p>
          <Plain text={advice} />
        </p>
        <p class="quiet">
          {word} · {kind} · <Plain text={subject} /> · {historyOf(alert)}
        </p>
      </div>
    </li>
  );
}

/** 'for 3m, told 2m ago, quiet for another 3m'. */
function historyOf({ ageMs, toldAgoMs, quietForMs, failedAttempts }: WireAlert): string {
  return [
    ageMs === null ? 'nobody has seen it yet' : `for ${spanText(ageMs)}`,
    toldAgoMs === null ? 'not told' : `told ${spanText(toldAgoMs)} ago`,
    ...(quietForMs === null ? [] : [`quiet for another ${spanText(quietForMs)}`]),
    ...(failedAttempts === null || failedAttempts === 0 ? [] : [`the webhook failed ${failedAttempts} times`]),
  ].join(', ');
}
