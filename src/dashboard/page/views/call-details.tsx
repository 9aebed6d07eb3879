/**
 * What is known of one call of a run, and of its compensation beside it.
 */
import type { VNode } from 'preact';
import { now } from '../app/clock.ts';
import { hrefTo } from '../app/router.ts';
import { attemptWords, backLook, callLook, waitWords, type WireCall, type WireCompensation } from '../app/story.ts';
import { countText, several, spanText } from '../app/texts.ts';
import type { WireTimeline } from '../app/wire.ts';
import { Mark } from '../parts/marks.tsx';
import { Moment } from '../parts/moment.tsx';
import { Fault, Payload, Plain } from '../parts/payload.tsx';
import { ValueList } from '../parts/screen.tsx';
import { MessagesOfCall } from './sent.tsx';

interface CallDetailsProps {
  readonly timeline: WireTimeline;
  readonly chosen: string | null;
}

export function CallDetails({ timeline, chosen }: CallDetailsProps): VNode {
  const call = timeline.calls.findLast((each) => each.call === chosen);
  return (
    <aside class="call-details" aria-label="The chosen call" id="call">
      {call === undefined ? (
        <p class="quiet">Choose a call to see its input, its output and what became of it.</p>
      ) : (
        <>
          <h2>
            <Plain text={call.call} />
          </h2>
          <Forward call={call} />
          {timeline.compensations
            .filter((each) => each.call === call.call)
            .map((each, index, all) => (
              <Back key={each.round} compensation={each} isLast={index === all.length - 1} />
            ))}
          {timeline.remaining.includes(call.call) ? <p class="quiet">It is still to be compensated.</p> : null}
        </>
      )}
    </aside>
  );
}

function Forward({ call }: { readonly call: WireCall }): VNode {
  const {
    kind,
    step,
    pivot,
    startedAt,
    endedAt,
    attempts,
    child,
    verified,
    lateReply,
    resolved,
    doubt,
    error,
    fallbackError,
  } = call;
  const wait = waitWords(call, now.value);
  return (
    <>
      <ValueList
        facts={[
          ['State', <Mark key="state" look={callLook(call)} />],
          wait === null ? null : ['Waits', wait],
          ['Kind', pivot ? `${kind}, the pivot` : kind],
          step === call.call ? null : ['Step', <Plain key="step" text={step} />],
          ['Began', <Moment key="began" at={startedAt} />],
          endedAt === null ? null : ['Took', spanText(endedAt - startedAt)],
          ['Attempts', countText(attempts)],
          child === null
            ? null
            : [
                'Child run',
                <a key="child" href={hrefTo(`runs/${child}`)}>
                  {child}
                </a>,
              ],
          doubt ? ['Doubt', 'its step may have happened all the same'] : null,
          verified === null ? null : ['Verified', verified === 'done' ? 'it has happened' : 'it has not happened'],
          lateReply === null ? null : ['Late reply', lateReply],
          resolved === null
            ? null
            : ['By hand', <Plain key="hand" text={`${resolved.as}, says ${resolved.actor}: ${resolved.reason}`} />],
        ]}
      />
      <FailedAttempts attempts={call.failedAttempts} />
      <MessagesOfCall messages={call.messages} />
      {error === null ? null : (
        <Fault title={call.state === 'degraded' ? 'Why its fallback stood in' : 'Error'} error={error} />
      )}
      {fallbackError === null ? null : <Fault title="Error of its fallback" error={fallbackError} />}
      <Payload title="Input" value={call.input} />
      <Payload title="Output" value={call.output} />
    </>
  );
}

interface BackProps {
  readonly compensation: WireCompensation;
  /** Of its rounds: what all of them sent stands there. */
  readonly isLast: boolean;
}

function Back({ compensation, isLast }: BackProps): VNode {
  const { round, startedAt, endedAt, attempts, retryAt, error, byHand, messages } = compensation;
  return (
    <section class="back-details">
      <h3>Its compensation{round > 1 ? `, round ${round}` : ''}</h3>
      <ValueList
        facts={[
          ['State', <Mark key="state" look={backLook(compensation)} />],
          ['Began', <Moment key="began" at={startedAt} />],
          endedAt === null ? null : ['Took', spanText(endedAt - startedAt)],
          ['Attempts', countText(attempts)],
          retryAt === null ? null : ['Again', <Moment key="again" at={retryAt} />],
          byHand === null ? null : ['By hand', <Plain key="hand" text={`${byHand.actor}: ${byHand.reason}`} />],
        ]}
      />
      <FailedAttempts attempts={compensation.failedAttempts} />
      <MessagesOfCall messages={isLast ? messages : []} />
      {error === null ? null : <Fault title="Error" error={error} />}
    </section>
  );
}

/** The marks on its bar, in words. */
function FailedAttempts({ attempts }: { readonly attempts: WireCall['failedAttempts'] }): VNode | null {
  if (attempts.length === 0) return null;
  return (
    <details class="failed-attempts">
      <summary>{several(attempts.length, 'attempt')} that failed</summary>
      <ol class="plain-list">
        {attempts.map((each, index) => (
          <li key={index}>
            <Moment at={each.at} /> <Plain text={attemptWords(each)} />
          </li>
        ))}
      </ol>
    </details>
  );
}
