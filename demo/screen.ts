/**
 * What the demo shows: on a terminal a bar that moves and carries a mark for every kill, elsewhere a plain line every second.
 * Used by main.ts.
 */
import type { WriteStream } from 'node:tty';
import type { Finding } from './audit.ts';

export interface Live {
  /** From 0 to 1. */
  readonly part: number;
  readonly counters: Readonly<Record<string, number>>;
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
  }): void;
  /** Takes the moving part off the screen. */
  calm(): void;
  /** The same, for good. */
  close(): void;
  note(text: string): void;
  table(title: string, findings: readonly Finding[]): void;
  verdict(ok: boolean, text: string): void;
  failure(text: string): void;
}

const BAR_WIDTH = 56;
const PLAIN_EVERY_MS = 1_000;

export function openScreen(stream: WriteStream): Screen {
  const moving = stream.isTTY && process.env['TERM'] !== 'dumb';
  const coloured = moving && (process.env['NO_COLOR'] ?? '') === '';
  const paint = (code: string) => (text: string) => (coloured ? `\u001B[${code}m${text}\u001B[0m` : text);
  const [bold, dim, red, green, yellow] = [paint('1'), paint('2'), paint('31'), paint('32'), paint('33')];
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
  const elapsed = (): string => seconds(performance.now());
  const percent = (part: number): string => `${Math.floor(part * 100)} %`;

  const kills: number[] = [];
  let drawnLines = 0;
  let plainDue = 0;
  let closed = false;

  const columns = (): number => stream.columns || 80;
  const listed = (counts: Readonly<Record<string, number>>): string =>
    Object.entries(counts)
      .map(([name, count]) => `${name} ${count}`)
      .join(' · ');

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

  function bar(part: number): string {
    const width = Math.max(10, Math.min(BAR_WIDTH, columns() - 20));
    const full = Math.round(part * width);
    const marks = new Set(kills.map((kill) => Math.min(width - 1, Math.floor(kill * width))));
    const cell = (at: number): string => (marks.has(at) ? red('✗') : at < full ? green('━') : dim('─'));
    return Array.from({ length: width }, (_, at) => cell(at)).join('');
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
    live({ part, counters, troubles, down }) {
      if (closed) return;
      const state = down === undefined ? '' : ` · ${down} is dead`;
      const flow = listed(counters);
      const rest = listed(troubles);
      if (moving) {
        const fitting = (text: string): string => text.slice(0, columns() - 3);
        draw(
          '',
          `  ${bar(part)}  ${percent(part)}  ${dim(elapsed())}`,
          `  ${dim(fitting(flow))}`,
          `  ${dim(fitting(rest))}${red(state)}`,
        );
      } else if (performance.now() >= plainDue) {
        plainDue = performance.now() + PLAIN_EVERY_MS;
        print(`  ${elapsed().padStart(7)}  ${percent(part).padStart(5)}  ${flow} · ${rest}${state}`);
      }
    },
    killed({ victim, part, pid, backAfterMs }) {
      kills.push(part);
      const when = `at ${percent(part)}`.padEnd(8);
      const what = `SIGKILL to process ${pid}, at work again after ${seconds(backAfterMs)}`;
      print(`  ${red('✗')} ${victim.padEnd(11)} ${when} ${dim(what)}`);
    },
    calm: erase,
    close() {
      erase();
      closed = true;
    },
    note: (text) => print(`  ${yellow('!')} ${text}`),
    table(title, findings) {
      const width = Math.max(...findings.map(({ what }) => what.length));
      const digits = Math.max(...findings.map(({ found }) => String(found).length));
      print(`\n  ${bold(title)}\n  ${dim('─'.repeat(BAR_WIDTH + 20))}`);
      for (const { what, found, note = '', ok } of findings) {
        const line = `${what.padEnd(width)}  ${String(found).padStart(digits)}`;
        print(`  ${ok ? green('✔') : red('✗')} ${ok ? line : red(line)}  ${dim(note)}`.trimEnd());
      }
      print(`  ${dim('─'.repeat(BAR_WIDTH + 20))}`);
    },
    verdict: (ok, text) => print(`  ${ok ? green('✔') : red('✗')} ${bold(text)}\n`),
    failure: (text) => print(`\n  ${red('✗')} ${text.replaceAll('\n', '\n    ')}\n`),
  };
}
