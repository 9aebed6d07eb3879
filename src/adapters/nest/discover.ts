/**
 * Finds what the classes of an application have declared, and makes consumers, participants and the list of sagas of it.
 */
import type { ModulesContainer } from '@nestjs/core';
import { HoldfastError } from '../../errors.ts';
import { createConsumer } from '../../inbox/consumer.ts';
import { handlersFor, type Handler } from '../../inbox/handlers/handler.ts';
import type { Runner } from '../../postgres/runner.ts';
import type { Outbox } from '../../outbox/outbox.ts';
import type { Database } from '../../postgres/database.ts';
import { badOption } from '../../runtime/options.ts';
import type { Service } from '../../runtime/service.ts';
import type { AnySaga } from '../../saga/definition/definition.ts';
import { handleFor, type ParticipantHandler } from '../../saga/participant/handle.ts';
import { createParticipant } from '../../saga/participant/participant.ts';
import type { Transport } from '../../transport/port.ts';
import { declarationsOf, type ClassDeclarations } from './declarations.ts';

/** What is made of a class, beside what it says itself. */
export interface DiscoveryTools {
  readonly database: Database;
  /** null: through `database`. */
  readonly runner: Runner<unknown> | null;
  readonly outbox: Outbox;
  readonly transport: Transport | null;
}

export interface Discovered {
  /** Consumers and participants. */
  readonly services: readonly Service[];
  readonly sagas: readonly AnySaga[];
}

interface DeclaredInstance {
  readonly name: string;
  readonly instance: Readonly<Record<PropertyKey, unknown>>;
  readonly declared: ClassDeclarations;
}

/** @throws HoldfastError HF_CONFIG for classes that cannot be used so, and what createConsumer and createParticipant throw */
export function discover(modules: ModulesContainer, tools: DiscoveryTools): Discovered {
  const found = declaredInstances(modules);
  return {
    services: found.flatMap((each) => servicesOf(each, tools)),
    sagas: found.flatMap(({ instance, declared }) => declared.sagas.map((property) => instance[property] as AnySaga)),
  };
}

function declaredInstances(modules: ModulesContainer): readonly DeclaredInstance[] {
  const found = new Map<object, DeclaredInstance>();
  for (const module of modules.values()) {
    for (const wrapper of [...module.providers.values(), ...module.controllers.values()]) {
      const { metatype } = wrapper;
      // A factory is a function as well, whose class is only known by what it has made.
      const made: unknown = wrapper.instance;
      const prototype: unknown = isObject(made) ? Object.getPrototypeOf(made) : metatype?.prototype;
      const declared = isObject(prototype) ? declarationsOf(prototype) : null;
      if (declared === null) continue;
      const name = String(wrapper.name);
      if (wrapper.isTransient || !wrapper.isDependencyTreeStatic()) throw notStatic(name);
      if (isObject(made)) found.set(made, { name, instance: made as DeclaredInstance['instance'], declared });
    }
  }
  return [...found.values()];
}

function servicesOf({ name, instance, declared }: DeclaredInstance, tools: DiscoveryTools): readonly Service[] {
  const { consumer, participant, messages, commands } = declared;
  if (messages.length > 0 && consumer === null)
    throw badOption(name, 'has @OnMessage, and no @MessageConsumer', "Put @MessageConsumer('name') before the class.");
  if (commands.length > 0 && participant === null)
    throw badOption(
      name,
      'has @HandleCommand, and no @SagaParticipant',
      "Put @SagaParticipant('name') before the class.",
    );
  const call = (method: PropertyKey) => (payload: unknown, context: unknown) =>
    (instance[method] as (payload: unknown, context: unknown) => unknown).call(instance, payload, context);
  const { database, runner, outbox } = tools;
  const through = runner === null ? { database } : { runner, schema: database.schema };
  const services: Service[] = [];
  if (consumer !== null) {
    const on = handlersFor<unknown>();
    const handlers: readonly Handler<unknown>[] = messages.map(({ type, options, method }) =>
      on(type, call(method), options),
    );
    const transport = transportOf(name, consumer.options.transport ?? tools.transport);
    // The handlers take what `through` opens: that is checked where the decorators stand.
    const options = { outbox, ...consumer.options, ...through, transport, handlers } as Parameters<
      typeof createConsumer<unknown>
    >[1];
    services.push(createConsumer(consumer.name, options));
  }
  if (participant !== null) {
    const handle = handleFor<unknown>() as (...given: readonly unknown[]) => ParticipantHandler<unknown>;
    const handlers = commands.map(({ type, options, method }) => handle(type, options, call(method)));
    const transport = transportOf(name, participant.options.transport ?? tools.transport);
    const options = { outbox, ...participant.options, ...through, transport, handlers } as Parameters<
      typeof createParticipant<unknown>
    >[1];
    services.push(createParticipant(participant.name, options));
  }
  return services;
}

function transportOf(name: string, transport: Transport | null): Transport {
  if (transport !== null) return transport;
  throw badOption(
    name,
    'has no transport',
    'Give HoldfastModule.forRoot, or the decorator of the class, transport: create…Transport(…).',
  );
}

function notStatic(name: string): HoldfastError {
  return new HoldfastError(
    'HF_CONFIG',
    `${name} handles messages or holds sagas, and is made anew for each request or use.`,
    {
      advice:
        'Give it and all that it is injected the default scope: messages come without a request. What differs for each is in the payload, and in the context that handlers are given.',
    },
  );
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
