/**
 * The decorators by which classes say what they handle, and what is known of a class afterwards. They keep it beside the class, by its
 * prototype, and need no metadata of types.
 */
import type { CommonConsumerOptions } from '../../inbox/consumer-options.ts';
import type { HandlerContext, HandlerOptions } from '../../inbox/handlers/handler.ts';
import type { MessageType, PayloadInput, PayloadOf } from '../../message/message-type.ts';
import type {
  CommandContext,
  CommandHandlerOptions,
  CompensationContext,
  CompensationHandlerOptions,
  SilentHandlerOptions,
} from '../../saga/participant/handle.ts';
import type { ParticipantOwnOptions } from '../../saga/participant/participant-options.ts';
import type { Transport } from '../../transport/port.ts';
import { badOption } from '../../runtime/options.ts';

/** Options of {@link MessageConsumer}: those of `createConsumer`, but for what the module gives. */
export interface MessageConsumerOptions extends Omit<CommonConsumerOptions, 'transport'> {
  /** @defaultValue that of the module */
  readonly transport?: Transport | undefined;
}

/** Options of {@link SagaParticipant}: those of `createParticipant`, but for what the module gives. */
export interface SagaParticipantOptions
  extends Omit<CommonConsumerOptions, 'transport' | 'window'>, Omit<ParticipantOwnOptions<unknown>, 'handlers'> {
  /** @defaultValue that of the module */
  readonly transport?: Transport | undefined;
}

export type HandledCommandOptions =
  | CommandHandlerOptions<MessageType>
  | SilentHandlerOptions
  | CompensationHandlerOptions<MessageType, MessageType>;

/** What the decorators of a class have said. */
export interface ClassDeclarations {
  readonly consumer: { readonly name: string; readonly options: MessageConsumerOptions } | null;
  readonly participant: { readonly name: string; readonly options: SagaParticipantOptions } | null;
  readonly messages: readonly {
    readonly method: PropertyKey;
    readonly type: MessageType;
    readonly options: HandlerOptions;
  }[];
  readonly commands: readonly {
    readonly method: PropertyKey;
    readonly type: MessageType;
    readonly options: HandledCommandOptions;
  }[];
  readonly sagas: readonly PropertyKey[];
}

type Said = { -readonly [K in keyof ClassDeclarations]?: ClassDeclarations[K] };

const said = new WeakMap<object, Said>();

/** Of a class and those that it extends; null: nothing was said. */
export function declarationsOf(prototype: object): ClassDeclarations | null {
  let found = false;
  const all: Required<Said> = { consumer: null, participant: null, messages: [], commands: [], sagas: [] };
  for (let each: object | null = prototype; each !== null; each = Object.getPrototypeOf(each) as object | null) {
    const own = said.get(each);
    if (own === undefined) continue;
    found = true;
    all.consumer ??= own.consumer ?? null;
    all.participant ??= own.participant ?? null;
    // What a class says of a method goes before what those that it extends say of it.
    all.messages = [...all.messages, ...(own.messages ?? []).filter(({ method }) => !named(all.messages, method))];
    all.commands = [...all.commands, ...(own.commands ?? []).filter(({ method }) => !named(all.commands, method))];
    all.sagas = [...new Set([...all.sagas, ...(own.sagas ?? [])])];
  }
  return found ? all : null;
}

function named(list: readonly { readonly method: PropertyKey }[], method: PropertyKey): boolean {
  return list.some((each) => each.method === method);
}

function saidOf(prototype: object): Said {
  const own = said.get(prototype) ?? {};
  said.set(prototype, own);
  return own;
}

/** A decorator of methods that take these arguments. */
export type MethodOf<Payload, Context, Result = unknown> = <
  Method extends (payload: Payload, context: Context) => Result,
>(
  prototype: object,
  method: PropertyKey,
  descriptor: TypedPropertyDescriptor<Method>,
) => void;

/**
 * The class is a consumer of this name: its methods with {@link OnMessage} handle the messages of its queue. The name is kept with its marks,
 * so do not change it lightly; see `createConsumer`. The class must be a provider of a module, with the default scope.
 *
 * @example
 * import type { PoolClient } from 'pg';
 *
 * class Shipping {
 *   async placed(order: { orderId: string }, { tx }: HandlerContext<PoolClient>): Promise<void> {
 *     await tx.query('INSERT INTO shipment (order_id) VALUES ($1)', [order.orderId]);
 *   }
 * }
 * // As `@MessageConsumer('shipping')` before the class does it.
 * MessageConsumer('shipping')(Shipping);
 */
export function MessageConsumer(name: string, options: MessageConsumerOptions = {}): (target: Constructor) => void {
  return ({ prototype }) => void (saidOf(prototype).consumer = { name, options });
}

/**
 * The method handles messages of this type, in a transaction that commits with the mark "handled". See `on`.
 *
 * @example
 * import type { PoolClient } from 'pg';
 *
 * class Shipping {
 *   async placed(order: { orderId: string; total: number }, { tx }: HandlerContext<PoolClient>): Promise<void> {
 *     await tx.query('INSERT INTO shipment (order_id) VALUES ($1)', [order.orderId]);
 *   }
 * }
 * const descriptor = { value: Shipping.prototype.placed };
 * // As `@OnMessage(OrderPlaced)` before the method does it.
 * OnMessage(OrderPlaced)(Shipping.prototype, 'placed', descriptor);
 */
export function OnMessage<Output>(
  type: MessageType<string, unknown, Output>,
  options: HandlerOptions = {},
): MethodOf<Output, HandlerContext<never>> {
  return (prototype, method) => {
    const own = saidOf(prototype);
    own.messages = [...(own.messages ?? []), { method, type, options }];
  };
}

/**
 * The class is a participant of this name: its methods with {@link HandleCommand} answer commands of sagas. See `createParticipant`. The class
 * must be a provider of a module, with the default scope.
 *
 * @example
 * class Stock {
 *   reserve(): { shelf: string } {
 *     return { shelf: 'a' };
 *   }
 * }
 * // As `@SagaParticipant('stock')` before the class does it.
 * SagaParticipant('stock')(Stock);
 */
export function SagaParticipant(name: string, options: SagaParticipantOptions = {}): (target: Constructor) => void {
  return ({ prototype }) => void (saidOf(prototype).participant = { name, options });
}

/** The type of {@link HandleCommand}. */
export interface CommandDecorator {
  /** Compensates what a command did. It is run only when there is something to compensate, and once. */
  <Compensating extends MessageType, Command extends MessageType, Reply extends MessageType = MessageType>(
    type: Compensating,
    options: CompensationHandlerOptions<Command, Reply>,
  ): MethodOf<PayloadOf<Compensating>, CompensationContext<never, PayloadOf<Command>, PayloadOf<Reply>>>;
  /** Answers a command with what the method resolves to. */
  <Command extends MessageType, Reply extends MessageType>(
    type: Command,
    options: CommandHandlerOptions<Reply>,
  ): MethodOf<PayloadOf<Command>, CommandContext<never>, PayloadInput<Reply> | Promise<PayloadInput<Reply>>>;
  /** A command without a reply. */
  <Command extends MessageType>(
    type: Command,
    options?: SilentHandlerOptions,
  ): MethodOf<PayloadOf<Command>, CommandContext<never>>;
}

/**
 * The method answers commands of this type, or compensates them. See `handle`.
 *
 * @example
 * class Stock {
 *   reserve(): { shelf: string } {
 *     return { shelf: 'a' };
 *   }
 * }
 * const descriptor = { value: Stock.prototype.reserve };
 * // As `@HandleCommand(ReserveStock, { reply: StockReserved })` before the method does it.
 * HandleCommand(ReserveStock, { reply: StockReserved })(Stock.prototype, 'reserve', descriptor);
 */
export const HandleCommand = decorateCommand as CommandDecorator;

function decorateCommand(type: MessageType, options: HandledCommandOptions = {}) {
  return (prototype: object, method: PropertyKey): void => {
    const own = saidOf(prototype);
    own.commands = [...(own.commands ?? []), { method, type, options }];
  };
}

/**
 * The property holds a saga, which the worker of the module runs, and which can be started. Declared in a provider, its steps reach what
 * that was injected.
 *
 * @example
 * class PlaceOrder {
 *   readonly definition = placeOrder;
 * }
 * // As `@SagaDefinition()` before the property does it.
 * SagaDefinition()(PlaceOrder.prototype, 'definition');
 */
export function SagaDefinition(): (prototype: object, property: PropertyKey) => void {
  return (prototype, property) => {
    if (typeof prototype !== 'object')
      throw badOption('@SagaDefinition', 'stands at something static', 'Put it before a property of instances.');
    const own = saidOf(prototype);
    own.sagas = [...(own.sagas ?? []), property];
  };
}

/** A class. */
export interface Constructor {
  readonly prototype: object;
}
