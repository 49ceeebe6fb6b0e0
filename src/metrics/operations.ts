import type { Message } from '../protocol/message.ts'
import { FIRST_MODERN_VERSION, LEGACY_VERSIONS } from '../protocol/versions.ts'
import { type Attributes, type Histogram, histograms, type Room, type Series } from './cells.ts'
import type { Failure } from './failure.ts'
import type { InstrumentName } from './instruments.ts'
import { Names, OTHER } from './names.ts'

/** What MCP defines, in any revision and in either direction. Whatever else clients ask for takes a place among names. */
const METHODS: ReadonlySet<string> = new Set([
  ...['initialize', 'ping', 'server/discover', 'completion/complete', 'logging/setLevel'],
  ...['tools/list', 'tools/call', 'prompts/list', 'prompts/get'],
  ...['resources/list', 'resources/templates/list', 'resources/read', 'resources/subscribe', 'resources/unsubscribe'],
  ...['subscriptions/listen', 'tasks/get', 'tasks/list', 'tasks/result', 'tasks/cancel'],
  ...['roots/list', 'sampling/createMessage', 'elicitation/create'],
  ...['notifications/initialized', 'notifications/cancelled', 'notifications/progress', 'notifications/message'],
  ...['notifications/roots/list_changed', 'notifications/tools/list_changed', 'notifications/prompts/list_changed'],
  ...['notifications/resources/list_changed', 'notifications/resources/updated', 'notifications/tasks/status'],
  ...['notifications/elicitation/complete', 'notifications/subscriptions/acknowledged']
])

const VERSIONS: readonly string[] = [...LEGACY_VERSIONS, FIRST_MODERN_VERSION]
const PLACES = new Map(VERSIONS.map((version, i) => [version, i + 1]))
const UNKNOWN = VERSIONS.length + 1
const PER_SIDE = UNKNOWN + 1

/** A revision as a small number: 0 for none, the last for those we do not know. */
export function versionPlace(version: string | undefined): number {
  return version === undefined ? 0 : (PLACES.get(version) ?? UNKNOWN)
}

export function versionAttributes(place: number): Attributes {
  return place === 0 ? {} : { 'mcp.protocol.version': VERSIONS[place - 1] ?? OTHER }
}

/** How messages travel on one side. */
export type Wire = 'http' | 'pipe'

/** As the conventions put it ("Recording MCP transport"). */
export function wireAttributes(wire: Wire): Attributes {
  return wire === 'pipe'
    ? { 'network.transport': 'pipe' }
    : { 'network.transport': 'tcp', 'network.protocol.name': 'http' }
}

/** The duration of operations on one side of the door. */
export class Side {
  readonly series: Series<Histogram>
  readonly #constant: Attributes
  /** Its number among the sides. */
  readonly index: number

  /** `constant` stands on all of its series. */
  constructor(index: number, name: InstrumentName, constant: Attributes, room?: Room) {
    this.index = index
    this.series = histograms(name, room)
    this.#constant = constant
  }

  make(operation: Attributes, version: number, failure?: Failure): Histogram {
    const rest = { ...versionAttributes(version), ...this.#constant, ...failure?.attributes }
    return this.series.add({ ...operation, ...rest })
  }
}

/** One method (with the name of a tool or prompt), and its series on both sides. */
export class Operation {
  readonly #attributes: Attributes
  /** Where nothing failed: by side and version. */
  readonly #cells: Histogram[] = []
  readonly #failed = new Map<string, Histogram>()

  constructor(attributes: Attributes) {
    this.#attributes = attributes
  }

  record(side: Side, version: number, failure: Failure | undefined, seconds: number): void {
    const at = side.index * PER_SIDE + version
    const cell = failure
      ? this.#failedCell(at, side, version, failure)
      : (this.#cells[at] ??= side.make(this.#attributes, version))
    cell.record(seconds)
  }

  #failedCell(at: number, side: Side, version: number, failure: Failure): Histogram {
    const key = `${at} ${failure.type}`
    let cell = this.#failed.get(key)
    if (!cell) this.#failed.set(key, (cell = side.make(this.#attributes, version, failure)))
    return cell
  }
}

/** Finds the operation that a message is about, with as many names as there is room for. */
export class Operations {
  readonly #methods: Names<Operation>
  readonly #tools: Names<Operation>
  readonly #prompts: Names<Operation>

  constructor(maxNames: number) {
    this.#methods = new Names(maxNames, method => new Operation({ 'mcp.method.name': method }), METHODS)
    this.#tools = new Names(maxNames, tool => new Operation({ ...TOOL_CALL, 'gen_ai.tool.name': tool }))
    this.#prompts = new Names(
      maxNames,
      prompt => new Operation({ 'mcp.method.name': 'prompts/get', 'gen_ai.prompt.name': prompt })
    )
  }

  /** `proven`: the server has answered it without an error. */
  of(message: Message, proven: boolean): Operation {
    const method = message.method!
    if (method === 'tools/call') return named(this.#tools, message, proven)
    if (method === 'prompts/get') return named(this.#prompts, message, proven)
    return this.#methods.find(method) ?? this.#methods.admit(method, proven && message.kind === 'request', () => true)
  }

  /** The method as a label: one that MCP defines, or `other`. */
  methodLabel(message: Message | undefined): string {
    const method = message?.method
    return method !== undefined && METHODS.has(method) ? method : OTHER
  }
}

/** Whoever sends more than this with a name that nobody knows yet is counted without it. */
const MAX_LOOK = 64 * 1024

/** Where a message has no name, what routing takes for it is a URI, which is no label. */
function named(names: Names<Operation>, message: Message, proven: boolean): Operation {
  const name = message.name ?? ''
  return (
    names.find(name) ??
    names.admit(name, proven, () => {
      if (message.bytes.length > MAX_LOOK) return false
      return (message.json as { params: { name?: unknown } }).params.name === name
    })
  )
}

const TOOL_CALL = { 'mcp.method.name': 'tools/call', 'gen_ai.operation.name': 'execute_tool' }
