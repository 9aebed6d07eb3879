/** The saga that does what its plan says, stage by stage, and its child, which does the same. */
import { Rejection } from '../../../src/errors.ts';
import { saga, type AnySaga } from '../../../src/saga/definition/definition.ts';
import { child } from '../../../src/saga/kinds/child.ts';
import { command } from '../../../src/saga/kinds/command.ts';
import { Charge, Charged, Refund, Release, Reserve, Reserved, Ship } from './messages.ts';
import { canBeLost, MENU, type MenuName } from './menu.ts';
import { DrawnPlan, type DrawnCall, type Stages } from './shape.ts';
import { retryOf, stepsOf, STOOD_IN, type StepHost } from './steps.ts';

/** How its calls ended, as the code of a run was told, by their ids. */
export type Told = Readonly<Record<string, 'done' | 'stood in' | 'failed' | 'left alone'>>;

/** @param lost whether it is code that has lost compensations */
export function drawnSagas(host: StepHost, lost: boolean): { readonly drawn: AnySaga; readonly part: AnySaga } {
  const { outside, inside } = stepsOf(host);
  const losable = (name: MenuName) => (lost && canBeLost(name) ? { ...MENU[name], compensates: false } : MENU[name]);
  const common = (of: string) => ({
    book: outside(of, 'book', losable('book')),
    ask: outside(of, 'ask', losable('ask')),
    inquire: outside(of, 'inquire', MENU.inquire),
    decorate: outside(of, 'decorate', losable('decorate')),
    hurry: outside(of, 'hurry', MENU.hurry),
    post: inside(of, 'post', losable('post')),
    enter: inside(of, 'enter', MENU.enter),
    pay: command(Charge, { ...ofCommand(MENU.pay), reply: Charged, compensate: Refund }),
    send: outside(of, 'send', MENU.send),
    hand: outside(of, 'hand', MENU.hand),
    deliver: outside(of, 'deliver', MENU.deliver),
    pledge: outside(of, 'pledge', MENU.pledge),
    close: inside(of, 'close', MENU.close),
    dispatch: command(Ship, { ...ofCommand(MENU.dispatch), pivot: true }),
    hold: command(Reserve, { ...ofCommand(MENU.hold), reply: Reserved, compensate: Release }),
  });
  const part = saga({
    name: 'part',
    input: DrawnPlan,
    steps: common('part'),
    run: ({ input, steps }) => carryOut(input.stages, input, steps),
  });
  const drawn = saga({
    name: 'drawn',
    input: DrawnPlan,
    steps: {
      ...common('drawn'),
      part: child(part),
    },
    run: ({ input, steps }) => carryOut(input.stages, input, steps),
  });
  return { drawn, part };
}

function ofCommand({ attempts, timeout }: (typeof MENU)['pay' | 'hold' | 'dispatch']) {
  return { timeout, retry: retryOf(attempts) };
}

type Calls = Readonly<Record<string, (input: never, options: { readonly id: string }) => Promise<unknown>>>;

async function carryOut(stages: Stages, plan: DrawnPlan, steps: Calls): Promise<Told> {
  const told: Record<string, Told[string]> = {};
  const follow = async (branch: readonly DrawnCall[]): Promise<void> => {
    for (const call of branch) {
      // One after the other: a branch is a sequence.
      // oxlint-disable-next-line no-await-in-loop
      told[call.id] = await make(call, plan, steps);
    }
  };
  for (const stage of stages) {
    // oxlint-disable-next-line no-await-in-loop
    await Promise.all(stage.map(follow));
  }
  return told;
}

async function make(call: DrawnCall, { order, amount, parts }: DrawnPlan, steps: Calls): Promise<Told[string]> {
  const { id, step, weather, back, asked, caught, alone } = call;
  const input =
    step === 'part' ? { order, amount, stages: parts[id] ?? [], parts: {} } : { order, amount, weather, back, asked };
  const ending = steps[step]?.(input as never, { id });
  if (alone) {
    ending?.catch(() => undefined);
    return 'left alone';
  }
  try {
    const said = await ending;
    return said === STOOD_IN ? STOOD_IN : 'done';
  } catch (error) {
    if (!caught) throw error instanceof Error ? error : new Rejection('no');
    return 'failed';
  }
}
