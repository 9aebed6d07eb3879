/**
 * The way of one message as a line of stops, with the times between: what led to it, the transaction that wrote it, relays, consumers and
 * participants, what the run made of it, and what it led to.
 */
import type { VNode } from 'preact';
import { isHandledElsewhere, stopsOf, type PathStop } from '../app/path-stops.ts';
import { hrefTo } from '../app/router.ts';
import { spanText } from '../app/texts.ts';
import type { WirePath } from '../app/wire.ts';
import { DatabaseName, SilentNote } from './database-name.tsx';
import { Shape } from './marks.tsx';
import { Moment } from './moment.tsx';
import { Plain } from './payload.tsx';

/** More would only be scrolled past; what a message led to is counted by the hundred. */
const MOST_STOPS = 100;

export function PathStory({ path }: { readonly path: WirePath }): VNode {
  const stops = stopsOf(path);
  // Where one does not answer, that is said.
  const isLeft = !path.ledComplete && (path.silent ?? []).length === 0;
  const isWhole = !isLeft && stops.length <= MOST_STOPS;
  return (
    <>
      <ol class="path" aria-label="Its way">
        {stops.slice(0, MOST_STOPS).map((stop, index) => (
          <Stop key={index} stop={stop} />
        ))}
      </ol>
      {isHandledElsewhere(path) ? (
        <p class="quiet">
          {path.database === undefined
            ? 'No consumer of this database has it in its inbox. Those of other databases are not seen from here.'
            : 'No consumer of these databases has it in its inbox.'}
        </p>
      ) : null}
      {path.silent?.map(({ database, failure }) => (
        <SilentNote key={database} database={database} failure={failure} />
      ))}
      {isWhole ? null : <p class="quiet">It led to more than is shown here.</p>}
    </>
  );
}

function Stop({ stop }: { readonly stop: PathStop }): VNode {
  const { where, look, text, database, link, at, gapMs, sinceWrittenMs } = stop;
  const href = link === null ? null : hrefTo(link.path, link.query, link.database);
  const since = sinceWrittenMs === null ? '' : `${spanText(Math.abs(sinceWrittenMs))} from its transaction`;
  return (
    <li class={`stop ${look.tone}`}>
      <span class="stop-where">
        <Shape name={look.shape} />
        {where}
        {look.word === '' ? null : <span class="unseen"> ({look.word})</span>}
        {database === null ? null : (
          <>
            {' '}
            <DatabaseName name={database} />
          </>
        )}
      </span>
      <span class="stop-text">
        {href !== null && link?.label === null ? (
          <a href={href}>
            <Plain text={text} />
          </a>
        ) : (
          <Plain text={text} />
        )}{' '}
        {href !== null && link !== null && link.label !== null ? <a href={href}>{link.label}</a> : null}
      </span>
      <span class="stop-when">
        {gapMs === null || gapMs < 0.5 ? null : <b title={since}>+{spanText(gapMs)} </b>}
        {at === null ? <span class="quiet">time not recorded</span> : <Moment at={at} />}
      </span>
    </li>
  );
}
