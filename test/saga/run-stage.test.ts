/** The stages of a run in memory: which moves are allowed, and that the drawing shows these and no others. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { CachedRun } from '../../src/saga/run/cached-run.ts';
import { AFTER_WRITE, assertMove, ON_EVICTION, STAGE_MOVES, type RunStage } from '../../src/saga/run/run-stage.ts';

const STAGES = Object.keys(STAGE_MOVES) as RunStage[];
const isAllowed = (from: RunStage, to: RunStage): boolean => STAGE_MOVES[from][to] === true;

class Cached extends CachedRun {}

it('allows the moves that docs/states.md draws, and no others', () => {
  const drawing = readFileSync(new URL('../../docs/states.md', import.meta.url), 'utf8');
  const drawn = [...drawing.matchAll(/^ {2}(\w+) --> (\w+):/gm)].map(([, from, to]) => `${from} -> ${to}`);
  const allowed = STAGES.flatMap((from) => STAGES.filter((to) => isAllowed(from, to)).map((to) => `${from} -> ${to}`));
  expect(drawn.toSorted()).toEqual(allowed.toSorted());
});

it('throws for every other move, and names both stages', () => {
  for (const from of STAGES)
    for (const to of STAGES) {
      const move = (): void => assertMove(from, to, 'r1');
      if (isAllowed(from, to)) expect(move).not.toThrow();
      else expect(move).toThrow(`Run r1 is ${from} and cannot become ${to}`);
    }
});

it('can be evicted from every stage in which it is here', () => {
  const here = STAGES.filter((stage) => stage !== 'evicting' && stage !== 'evicted');
  expect(here.filter((from) => !isAllowed(from, ON_EVICTION[from]))).toEqual([]);
});

it('ends a write where there is one, and nowhere else', () => {
  const writing = STAGES.filter((stage) => isAllowed(stage, AFTER_WRITE[stage]));
  expect(writing.toSorted()).toEqual(['committing', 'evicting', 'releasing', 'transacting', 'trialing']);
});

it('waits for what is in flight before an evicted run is given back', () => {
  const run = new Cached('r1', 'active');
  const said: string[] = [];
  run.beginCommit(false);
  run.evict();
  run.whenWritten(() => said.push('given back'));
  run.tellWritten();
  expect(run.stage).toBe('evicting');
  expect(said).toEqual([]);
  run.endWrite();
  run.tellWritten();
  expect([run.stage, run.isEvicted, ...said]).toEqual(['evicted', true, 'given back']);
});

it('gives an evicted run back at once when nothing is in flight', () => {
  const run = new Cached('r1', 'loading');
  const said: string[] = [];
  run.evict();
  run.whenWritten(() => said.push('given back'));
  expect(said).toEqual(['given back']);
});

it('goes on loading after the commit that announces its trial', () => {
  const run = new Cached('r1', 'loading');
  run.beginCommit(false);
  expect([run.stage, run.isLoading]).toEqual(['trialing', true]);
  run.endWrite();
  run.finishLoading();
  expect([run.stage, run.isLoading]).toEqual(['active', false]);
});

it('does not begin a second commit while one is in flight', () => {
  const run = new Cached('r1', 'active');
  run.beginCommit(true);
  expect(() => run.beginCommit(false)).toThrow('is releasing and cannot become committing');
});
