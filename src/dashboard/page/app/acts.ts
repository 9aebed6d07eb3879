/**
 * What people do from the page. An act says what will happen and which command does the same, asks for a reason and perhaps for more, and
 * is sent once it is confirmed; one dialog serves all of them.
 */
import { computed, signal } from '@preact/signals';
import { sessionState } from './api.ts';
import type { DashboardRole } from '../../server/contract.ts';

export interface ActField {
  readonly name: string;
  readonly label: string;
  /** json: parsed before it is sent; may be left empty. */
  readonly kind: 'text' | 'json' | 'choice';
  readonly choices?: readonly (readonly [value: string, label: string])[];
  readonly value?: string;
  readonly required?: boolean;
}

/** Values of the fields, as texts. */
export type ActValues = Readonly<Record<string, string>>;

export interface ActSpec {
  readonly title: string;
  /** What will happen, in a sentence or two. */
  readonly text: string;
  /** What it meets, a line each. */
  readonly lines?: readonly string[];
  readonly confirm: string;
  /** Something is given up that nothing brings back. */
  readonly grave?: boolean;
  readonly fields?: readonly ActField[];
  /** Below /api/. */
  readonly path: string;
  readonly body: (values: ActValues, reason: string) => unknown;
  /** Null: the command line needs none. */
  readonly command: (values: ActValues, reason: string) => string | null;
  /** After it is done, with what the server answered. */
  readonly done: (answer: unknown) => void;
}

export const openAct = signal<ActSpec | null>(null);

const RANK: Readonly<Record<DashboardRole, number>> = { viewer: 0, operator: 1, admin: 2 };

/** The server checks it again; here only what would be refused is not offered. */
export const mayAct = computed(() => {
  const current = sessionState.value;
  return current.state === 'in' && RANK[current.session.role] >= RANK.operator;
});
