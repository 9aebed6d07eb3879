/**
 * Acts on all that fit: a button that counts and shows first, then the dialog that asks for rate and reason, then the page of the job.
 */
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { visible } from '../../../runtime/terminal-text.ts';
import { manyCommand, type CommandFlags } from '../../server/commands.ts';
import { openAct, type ActField, type ActSpec, type ActValues } from '../app/acts.ts';
import { failureFrom, sendAct } from '../app/api.ts';
import { hrefTo, navigate } from '../app/router.ts';
import { countText, several } from '../app/texts.ts';
import type { WireJob, WireJobPlan } from '../app/wire.ts';

export interface ManyAct {
  readonly on: 'parked' | 'runs';
  readonly act: string;
  /** What is left out does not narrow. */
  readonly select: Readonly<Record<string, unknown>>;
  readonly title: string;
  /** What will happen to each of them. */
  readonly text: string;
  /** What the button says before 'all 12 messages'. */
  readonly verb: string;
  /** Something is given up that nothing brings back. */
  readonly grave?: boolean;
  readonly fields?: readonly ActField[];
  /** What the fields add to the body, and to the command. */
  readonly added?: (values: ActValues) => Readonly<Record<string, unknown>>;
  readonly flags?: (values: ActValues) => CommandFlags;
}

interface ManyButtonProps {
  readonly label: string;
  /** For those who do not see what it stands beside; begins with the label. */
  readonly said?: string;
  readonly many: ManyAct;
  readonly look?: string;
}

export function ManyButton({ label, said, many, look = '' }: ManyButtonProps): VNode {
  const [trouble, setTrouble] = useState<string | null>(null);
  const [counting, setCounting] = useState(false);
  const count = async (): Promise<void> => {
    setTrouble(null);
    setCounting(true);
    try {
      const { on, act, select } = many;
      const plan = await sendAct<WireJobPlan>(`${on}/plan`, { act, select });
      if (plan.count === 0) setTrouble('Nothing fits any more.');
      else openAct.value = specOf(many, plan);
    } catch (error) {
      setTrouble(failureFrom(error).message);
    } finally {
      setCounting(false);
    }
  };
  return (
    <>
      <button
        type="button"
        class={`button ${look}`}
        aria-label={said ?? label}
        disabled={counting}
        onClick={() => void count()}
      >
        {counting ? 'Counting…' : label}
      </button>
      {trouble === null ? null : (
        <span class="trouble" role="alert">
          {trouble}
        </span>
      )}
    </>
  );
}

const RATE: ActField = {
  name: 'rate',
  label: 'How fast',
  kind: 'choice',
  value: '500',
  choices: [
    ['10', '10 a second'],
    ['500', '500 a second'],
    ['max', 'as fast as it goes'],
  ],
};
const rateOf = (values: ActValues): number | null => (values['rate'] === 'max' ? null : Number(values['rate']));

function specOf(many: ManyAct, plan: WireJobPlan): ActSpec {
  const { on, act, select, title, text, verb, grave = false, fields = [], added, flags } = many;
  const noun = on === 'parked' ? 'message' : 'run';
  const count = `${plan.atLeast ? 'more than ' : ''}${several(plan.count, noun)}`;
  return {
    title,
    text: `This meets ${count}. ${text}`,
    lines: linesOf(plan),
    confirm: `${verb} ${plan.count === 1 ? 'it' : `all ${countText(plan.count)}`}`,
    grave,
    fields: [...fields, RATE],
    path: `${on}/act`,
    body: (values, reason) => ({
      act,
      select,
      ...added?.(values),
      expect: plan.count,
      rate: rateOf(values),
      reason,
    }),
    command: (values, reason) =>
      manyCommand(
        [on === 'parked' ? 'parked' : 'saga', act],
        select,
        { expect: plan.count, rate: rateOf(values), reason },
        flags?.(values),
      ),
    done: (answer) => {
      openAct.value = null;
      navigate(hrefTo(`jobs/${(answer as { readonly job: WireJob }).job.id}`));
    },
  };
}

const MOST_LINES = 6;

/** The largest groups of what it would meet, and a message or run to look at. */
function linesOf({ parked, runs, sample }: WireJobPlan): readonly string[] {
  const lines = [
    ...parked.map(
      ({ messages, where, topic, error, reason }) =>
        `${countText(messages)} × ${topic} at ${where}: ${visible(error ?? reason)}`,
    ),
    ...runs.map(
      (each) =>
        `${countText(each.runs)} × ${each.saga}@${each.version}, ${each.status}${each.error === null ? '' : `: ${visible(each.error)}`}`,
    ),
  ];
  const more = lines.length - MOST_LINES;
  return [
    ...lines.slice(0, MOST_LINES),
    ...(more > 0 ? [`and ${several(more, 'group')} more`] : []),
    ...(sample[0] === undefined ? [] : [`for example ${sample[0]}`]),
  ];
}
