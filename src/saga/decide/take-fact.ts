/**
 * One thing that happened to a run, taken in: to the path it belongs to, forward or back. Used by the engine.
 */
import { compensationFailed, goOnUndoing, siblingEnded } from './backward.ts';
import { nextDue, takeDue } from './due.ts';
import { attemptEnded, fallbackEnded, transacted, tryComplete } from './forward.ts';
import { takeMail } from './mail.ts';
import type { Fact, Scene } from '../run/facts.ts';
import type { Run } from '../run/run.ts';
import type { CallState } from '../journal/state.ts';
import { pivotVerified, takeVerdict } from './verdict.ts';

/** Whether the code was told something; a promise where a schema or a message has to be waited for. */
export function takeFact(run: Run, fact: Fact, scene: Scene): boolean | Promise<boolean> {
  switch (fact.kind) {
    case 'begun':
      return true;
    case 'mail': {
      const due = nextDue(run);
      if (due < fact.mail.at) return timerFirst(run, fact, due, scene);
      return takeMail(run, fact.mail, scene).then(async (spoken) => {
        // It may have answered what a run that is about to complete had taken back.
        if (!spoken && run.ending !== null) await tryComplete(run, scene);
        return spoken;
      });
    }
    case 'due':
      return takeDue(run, scene).then(({ told, more }) => {
        // One after the other: the code may answer to each.
        if (more) run.facts.push({ kind: 'due' });
        return told;
      });
    case 'try':
      return announce(run, fact.call, scene);
    case 'attempt':
      if (run.state.phase === 'forward') return attemptEnded(run, fact.call, fact.result, scene);
      siblingEnded(run, fact.call, fact.result, scene);
      return false;
    case 'fallback':
      if (run.state.phase === 'forward') return fallbackEnded(run, fact.call, fact.failure, fact.result, scene);
      siblingEnded(run, fact.call, fact.failure, scene);
      return false;
    case 'transacted':
      if (fact.of === 'done') return run.state.phase === 'forward' && transacted(run, fact.call, fact.output, scene);
      return goOn(run, scene);
    case 'compensation':
      if (fact.result.kind === 'done') run.record({ t: 'compensated', call: fact.call.id }, scene.now);
      else compensationFailed(run, fact.call, fact.result, scene);
      return goOn(run, scene);
    case 'verified':
      if (fact.call.outcome === 'open') return pivotVerified(run, fact.call, fact.result, scene);
      takeVerdict(run, fact.call, fact.result, scene);
      return goOn(run, scene);
  }
}

/** A timer was due before this came: it is told before, as it would have been had anybody looked. */
function timerFirst(
  run: Run,
  fact: Extract<Fact, { kind: 'mail' }>,
  due: number,
  scene: Scene,
): boolean | Promise<boolean> {
  run.facts.unshift(fact);
  // What is told in a row is told at its time, which the timer must not be ahead of.
  if (run.rowIsOpen && due > run.rowAt) {
    run.waitsForRow = true;
    return false;
  }
  run.mailKnownAt = Math.max(run.mailKnownAt, fact.mail.at - 1);
  return takeDue(run, { ...scene, now: Math.max(scene.now, due) }).then(({ told }) => told);
}

/** That it is about to be made is durable before it begins. */
function announce(run: Run, call: CallState, scene: Scene): false {
  const undoing = call.undo?.state === 'open';
  if (!undoing && (run.state.phase !== 'forward' || call.outcome !== 'open')) return false;
  run.record({ t: 'trying', call: call.id }, scene.now);
  run.effects.push({ kind: undoing ? 'compensate' : 'attempt', call });
  return false;
}

/** Undoing goes on; or the completion that waited for what was given up to be undone. */
async function goOn(run: Run, scene: Scene): Promise<boolean> {
  if (run.state.phase === 'undoing') await goOnUndoing(run, scene);
  else await tryComplete(run, scene);
  return false;
}
