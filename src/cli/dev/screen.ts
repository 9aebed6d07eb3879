/**
 * What `holdfast dev` shows: a head that says what runs where, and then a line for each thing that happens. With --json a JSON document
 * each.
 */
import { visible, visiblePage } from '../../runtime/terminal-text.ts';
import { formatMs, oneLine } from '../output/format.ts';
import type { Ui } from '../output/report.ts';
import type { ActivityLine } from './activity-lines.ts';
import type { LineTone } from './run-lines.ts';

export interface DevScreen {
  /** `name  value`, below each other. */
  head(rows: readonly (readonly [name: string, value: string])[], facts: Readonly<Record<string, unknown>>): void;
  /** Something about this command itself. */
  say(what: string, tone?: LineTone): void;
  happened(line: ActivityLine): void;
  /** A line of somebody's output. */
  printed(by: string, line: string): void;
}

export interface DevScreenOptions {
  readonly json: boolean;
  readonly ui: Ui;
  readonly write: (text: string) => void;
}

const MARKS: Readonly<Record<ActivityLine['about'], string>> = { run: '●', message: '→', consumer: '◆', parked: '■' };
const NAME_WIDTH = 28;
/** Colours of programs that think they are on a terminal. */
// oxlint-disable-next-line no-control-regex
const COLOURS = /(\u001B\[[\d;]*m)/;

export function createDevScreen({ json, ui, write }: DevScreenOptions): DevScreen {
  const { style } = ui;
  const paint: Readonly<Record<LineTone, (text: string) => string>> = {
    good: style.green,
    plain: (text) => text,
    notable: style.yellow,
    bad: style.red,
  };
  const line = (text: string): void => write(`${visiblePage(text)}\n`);
  const document = (value: object): void => write(`${JSON.stringify(value)}\n`);
  const time = (ms: number): string => style.dim(new Date(ms).toTimeString().slice(0, 8));

  if (json) {
    return {
      head: (_rows, facts) => document({ event: 'ready', ...facts }),
      say: (what, tone = 'plain') => document({ event: 'said', tone, what }),
      happened: (happening) => document({ event: 'happened', ...happening, at: new Date(happening.at).toISOString() }),
      printed: (by, text) => document({ event: 'printed', by, line: text }),
    };
  }
  return {
    head(rows) {
      const widest = Math.max(...rows.map(([name]) => name.length));
      const lines = rows.map(([name, value]) => `  ${style.dim(name.padEnd(widest))}  ${value}`);
      line(`\n  ${style.bold('holdfast dev')}\n\n${lines.join('\n')}\n\n  ${style.dim('Ctrl-C ends all of it.')}\n`);
    },
    say: (what, tone = 'plain') => line(`${time(Date.now())} ${style.dim('holdfast')} ${paint[tone](what)}`),
    happened({ at, about, tone, name, key, what, tookMs }) {
      const mark = paint[tone === 'plain' ? 'plain' : tone](MARKS[about]);
      const who = `${oneLine(name, 24)} ${oneLine(key, 20)}`;
      const shown = `${style.bold(oneLine(name, 24))} ${style.cyan(oneLine(key, 20))}${' '.repeat(Math.max(0, NAME_WIDTH - who.length))}`;
      const text = oneLine(what, Math.max(40, ui.width - NAME_WIDTH - 14));
      line(
        `${time(at)} ${mark} ${shown} ${tone === 'plain' ? text : paint[tone](text)}${tookMs === null ? '' : style.dim(` ${formatMs(tookMs)}`)}`,
      );
    },
    printed: (by, text) => write(`${style.dim(`${by} │`)} ${ofProgram(text)}\n`),
  };
}

/** What programs print stays coloured; all else that a terminal would obey is shown. */
function ofProgram(text: string): string {
  return text
    .split(COLOURS)
    .map((part, index) => (index % 2 === 1 ? part : visible(part)))
    .join('');
}
