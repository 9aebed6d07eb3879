/**
 * What the demo shows: on a terminal a bar that moves and carries a mark for every kill, elsewhere a plain line every second. At
 * the end a story of one run, and the scoreboard.
 */
import type { WriteStream } from 'node:tty';
import { createStyle, type Style } from '../src/cli/output/style.ts';
import type { Section } from './audit.ts';

export interface Live {
  /** Parts of all orders, from 0 to 1. */
  readonly completed: number;
  readonly compensated: number;
  readonly underWay: number;
  readonly runsPerSecond: number;
  readonly counters: Readonly<Record<string, number>>;
  /** Of these, only what is not 0 is shown, as of the next. */
  readonly flow: Readonly<Record<string, number>>;
  readonly troubles: Readonly<Record<string, number>>;
  /** The process that is dead at the moment. */
  readonly down: string | undefined;
}

export interface Screen {
  title(name: string, about: string): void;
  /** A line for a thing that takes a while; `result` is what it says when that is done. */
  phase<T>(what: string, work: Promise<T>, result: (value: T) => string): Promise<T>;
  live(view: Live): void;
  killed(view: {
    readonly victim: string;
    readonly part: number;
    readonly pid: number;
    readonly backAfterMs: number;
    readonly atWork: boolean;
  }): void;
  /** Takes the moving part off the screen. */
  calm(): void;
  /** The same, for good. */
  close(): void;
  note(text: string): void;
  /** A line as it stands. */
  say(text: string): void;
  /** A piece of text under a title of its own. `write` is told in which style, and how many columns there are. */
  story(title: string, write: (ui: { readonly style: Style; readonly width: number }) => string): void;
  scoreboard(title: string, sections: readonly Section[]): void;
  verdict(ok: boolean, text: string): void;
  failure(text: string): void;
}

const BAR_WIDTH = 48;
const RULE_WIDTH = 76;
const PLAIN_EVERY_MS = 1_000;

export function openScreen(stream: WriteStream): Screen {
  const moving = stream.isTTY && process.env['TERM'] !== 'dumb';
  const coloured = moving && (process.env['NO_COLOR'] ?? '') === '';
  const style = createStyle(coloured);
  const { bold, dim, red, green, yellow, cyan } = style;
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
  const elapsed = (): string => seconds(performance.now());
  const percent = (part: number): string => `${Math.floor(part * 100)} %`;

  const kills: number[] = [];
  let drawnLines = 0;
  let plainDue = 0;
  let closed = false;

  const columns = (): number => stream.columns || 80;
  const rule = dim('─'.repeat(RULE_WIDTH));
  const listed = (counts: Readonly<Record<string, number>>, which: 'all' | 'but 0' = 'all'): readonly string[] =>
    Object.entries(counts)
      .filter(([, count]) => which === 'all' || count !== 0)
      .map(([name, count]) => `${count} ${name}`);

  function erase(): void {
    if (drawnLines > 0) stream.write(`\u001B[${drawnLines}A\u001B[0J`);
    drawnLines = 0;
  }

  function print(line: string): void {
    erase();
    stream.write(`${line}\n`);
  }

  /** Lines that the next drawing replaces. Each must fit, because a wrapped line would be two. */
  function draw(...lines: readonly string[]): void {
    erase();
    stream.write(lines.map((line) => `${line}\n`).join(''));
    drawnLines = lines.length;
  }

  function bar({ completed, compensated, underWay }: Live): string {
    const width = Math.max(10, Math.min(BAR_WIDTH, columns() - 36));
    const upTo = (part: number): number => Math.round(part * width);
    const marks = new Set(kills.map((kill) => Math.min(width - 1, Math.floor(kill * width))));
    const [done, takenBack, begun] = [
      upTo(completed),
      upTo(completed + compensated),
      upTo(completed + compensated + underWay),
    ];
    const cell = (at: number): string => {
      if (marks.has(at)) return red('✗');
      if (at < done) return green('━');
      if (at < takenBack) return yellow('━');
      return at < begun ? cyan('╍') : dim('─');
    };
    return Array.from({ length: width }, (_, at) => cell(at)).join('');
  }

  /** Of a line that is built of parts, as many as fit. */
  function fitting(parts: readonly string[]): string {
    const shown: string[] = [];
    let room = columns() - 4;
    for (const part of parts) {
      room -= part.length + 3;
      if (room < 0) break;
      shown.push(part);
    }
    return shown.join(' · ');
  }

  return {
    title(name, about) {
      print(`\n  ${bold(name)}  ${dim(about)}\n`);
    },
    async phase(what, work, result) {
      if (moving) draw(`  ${yellow('…')} ${what}`);
      const beganMs = performance.now();
      const value = await work;
      print(`  ${green('✔')} ${what.padEnd(11)} ${result(value)}  ${dim(seconds(performance.now() - beganMs))}`);
      return value;
    },
    live(view) {
      if (closed) return;
      const { counters, flow, troubles, down } = view;
      const part = view.completed + view.compensated;
      const state = down === undefined ? '' : `${down} is dead`;
      const first = [...listed(counters), ...listed(flow, 'but 0')];
      const second = listed(troubles, 'but 0');
      const rate = `${Math.round(view.runsPerSecond)} runs/s`;
      if (moving) {
        draw(
          '',
          `  ${bar(view)}  ${percent(part).padStart(5)}  ${rate.padStart(10)}  ${dim(elapsed().padStart(7))}`,
          `  ${fitting(first)}`,
          `  ${state === '' ? dim(fitting(second)) : [red(state), dim(fitting([state, ...second]).slice(state.length + 3))].join(dim(' · '))}`,
        );
      } else if (performance.now() >= plainDue) {
        plainDue = performance.now() + PLAIN_EVERY_MS;
        const all = [rate, ...first, ...second, ...(state === '' ? [] : [state])];
        print(`  ${elapsed().padStart(7)}  ${percent(part).padStart(5)}  ${all.join(' · ')}`);
      }
    },
    killed({ victim, part, pid, backAfterMs, atWork }) {
      kills.push(part);
      const when = `at ${percent(part)}`.padEnd(8);
      const where = atWork ? ' in the middle of its work' : '';
      const what = `SIGKILL to process ${pid}${where}, back after ${seconds(backAfterMs)}`;
      print(`  ${red('✗')} ${victim.padEnd(11)} ${when} ${dim(what)}`);
    },
    calm: erase,
    close() {
      erase();
      closed = true;
    },
    note: (text) => print(`  ${yellow('!')} ${text}`),
    say: (text) => print(`  ${text}`),
    story(title, write) {
      print(`\n  ${bold(title)}\n  ${rule}\n`);
      const text = write({ style, width: columns() - 4 });
      for (const line of text.split('\n')) print(line === '' ? '' : `  ${line}`);
    },
    scoreboard(title, sections) {
      const all = sections.flatMap(({ findings }) => findings);
      const width = Math.max(...all.map(({ what }) => what.length));
      const digits = Math.max(...all.map(({ found }) => String(found).length));
      print(`\n  ${bold(title)}\n  ${rule}`);
      for (const [index, section] of sections.entries()) {
        if (index > 0) print('');
        print(`  ${bold(section.title)}`);
        for (const { what, found, note = '', ok } of section.findings) {
          const line = `${what.padEnd(width)}  ${String(found).padStart(digits)}`;
          print(`  ${ok ? green('✔') : red('✗')} ${ok ? line : red(line)}  ${dim(note)}`.trimEnd());
        }
      }
      print(`  ${rule}`);
    },
    verdict: (ok, text) => print(`  ${ok ? green('✔') : red('✗')} ${bold(text)}\n`),
    failure: (text) => print(`\n  ${red('✗')} ${text.replaceAll('\n', '\n    ')}\n`),
  };
}
