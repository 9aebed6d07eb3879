/**
 * One message: its whole way from the transaction that wrote it to what came of it, with the times between, and what it says.
 */
import type { ComponentChildren, VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { hasSeveral, atAll } from '../app/databases.ts';
import { useLoaded } from '../app/load.ts';
import { wholeTime } from '../app/path-stops.ts';
import { here, hrefTo, navigate } from '../app/router.ts';
import { countText, sizeText, spanText } from '../app/texts.ts';
import type { WireMessageDetails, WirePath, WireScheduled } from '../app/wire.ts';
import { CommandText, CopyButton } from '../parts/copy.tsx';
import { Moment } from '../parts/moment.tsx';
import { PathStory } from '../parts/path-story.tsx';
import { Payload, Plain, RevealButton } from '../parts/payload.tsx';
import { ValueList, Screen } from '../parts/screen.tsx';
import { Answered, FailureNote } from '../parts/states.tsx';

type Shown = WireMessageDetails | { readonly scheduled: WireScheduled };
const EVERY_MS = 5_000;

export function MessageScreen({ id }: { readonly id: string }): VNode {
  const own = `messages/${encodeURIComponent(id)}`;
  const way = useLoaded<WirePath>(hasSeveral.value ? `all/${own}/path` : `${own}/path`, {}, { every: EVERY_MS });
  // What it says, and what can be done about it, is in the database that it was written in.
  const home = way.data?.database ?? here.value;
  useEffect(() => {
    if (hasSeveral.peek() && home !== here.peek()) navigate(hrefTo(own, {}, home), { replace: true });
  }, [own, home]);
  const state = way.data?.state ?? null;
  // What it says does not change but by its time having come; of what was pruned, nothing is left to say.
  const details = useLoaded<Shown>(
    state === 'pruned' || (hasSeveral.value && state === null) || atAll.value ? null : own,
    {},
    { every: state === 'scheduled' ? EVERY_MS : null },
  );
  const [revealed, reveal] = useState<Shown | null>(null);
  const said = revealed ?? details.data;
  const topic = way.data?.message?.topic ?? way.data?.scheduled?.topic;
  return (
    <Screen title={topic ?? 'Message'} aside={<MessageId id={id} />}>
      <Answered loaded={way} lines={10}>
        {(path) => <Way path={path} />}
      </Answered>
      {details.failure === undefined || way.failure !== undefined ? null : (
        <FailureNote failure={details.failure} retry={details.reload} />
      )}
      {said === undefined ? null : (
        <Said said={said}>
          <RevealButton path={`messages/${id}`} revealed={(answer) => reveal(answer as Shown)} />
        </Said>
      )}
      <p class="quiet">From the command line:</p>
      <CommandText command={`holdfast outbox path ${id}`} />
    </Screen>
  );
}

function MessageId({ id }: { readonly id: string }): VNode {
  return (
    <span class="whole-id">
      <code>
        <Plain text={id} />
      </code>
      <CopyButton text={id} what="the id" />
    </span>
  );
}

function Way({ path }: { readonly path: WirePath }): VNode {
  const whole = wholeTime(path);
  return (
    <>
      {path.message === null ? null : <MessageFacts message={path.message} />}
      <h2>
        Its way{' '}
        {whole === null ? null : <span class="quiet">{spanText(whole)} from its transaction to the last stop</span>}
      </h2>
      <PathStory path={path} />
    </>
  );
}

function MessageFacts({ message }: { readonly message: NonNullable<WirePath['message']> }): VNode {
  const { topic, key, createdAt, source, correlationId, causationId, seq, xid, lane } = message;
  return (
    <ValueList
      facts={[
        [
          'Topic',
          <a key="topic" href={hrefTo('messages', { topic })}>
            {topic}
          </a>,
        ],
        key === null
          ? null
          : [
              'Key',
              <a key="key" href={hrefTo('messages', { key })}>
                <Plain text={key} />
              </a>,
            ],
        ['Written', <Moment key="written" at={createdAt} />],
        source === null ? null : ['From', <Plain key="from" text={source} />],
        correlationId === null
          ? null
          : [
              'Correlation',
              <a key="correlation" href={hrefTo('messages', { correlation: correlationId })}>
                <Plain text={correlationId} />
              </a>,
            ],
        causationId === null
          ? null
          : [
              'Caused by',
              <a key="cause" href={hrefTo(`messages/${encodeURIComponent(causationId)}`)}>
                <Plain text={causationId} />
              </a>,
            ],
        ['Place in the log', countText(seq)],
        ['Lane', countText(lane)],
        ['Transaction', xid],
      ]}
    />
  );
}

interface SaidProps {
  readonly said: Shown;
  readonly children: ComponentChildren;
}

/** What the message says: payload and envelope. */
function Said({ said, children }: SaidProps): VNode {
  if ('scheduled' in said) {
    return (
      <>
        {children}
        <Payload title="Payload" value={said.scheduled.payload} />
      </>
    );
  }
  const { envelope, payloadBytes } = said;
  const rest = Object.fromEntries(Object.entries(envelope).filter(([name]) => name !== 'data'));
  return (
    <>
      {children}
      <Payload title="Payload" value={envelope['data']} />
      <details>
        <summary>Envelope</summary>
        <p class="quiet">The payload has {sizeText(payloadBytes)} in the log.</p>
        <Payload title="Envelope" value={rest} />
      </details>
    </>
  );
}
