import type { RecordedRequest } from '../replay/recording.ts'
import type { BindingPlan } from './bindings.ts'
import { valueAt } from './leaves.ts'
import { answerOf, isSpoken, jsonOf, type Plan, type Spoken } from './plan.ts'

/**
 * What only reads, or changes nothing but the client's own connection. A tool is another matter, and so is whatever the
 * specification does not know.
 */
const HARMLESS: ReadonlySet<string> = new Set([
  'initialize',
  'ping',
  'server/discover',
  'tools/list',
  'prompts/list',
  'prompts/get',
  'resources/list',
  'resources/templates/list',
  'resources/read',
  'resources/subscribe',
  'resources/unsubscribe',
  'subscriptions/listen',
  'completion/complete',
  'logging/setLevel',
  'tasks/get',
  'tasks/list',
  'tasks/result',
  'notifications/initialized',
  'notifications/cancelled',
  'notifications/progress',
  'notifications/roots/list_changed',
  'notifications/tasks/status',
  'notifications/elicitation/complete'
])

/** Whether a tool says of itself that it changes nothing (`annotations.readOnlyHint`; without it it may). */
export function isReadOnly(tool: unknown): boolean {
  const says = (hint: string): unknown => valueAt(tool, ['annotations', hint])
  return says('readOnlyHint') === true && says('destructiveHint') !== true
}

/** The tools that answers to `tools/list` name. */
class ReadOnlyTools {
  readonly #known = new Map<string, boolean>()

  /** A tool that has said both is one that writes. */
  learn(answer: unknown): void {
    const tools = valueAt(answer, ['result', 'tools'])
    if (!Array.isArray(tools)) return
    for (const tool of tools) {
      const name = valueAt(tool, ['name'])
      if (typeof name === 'string') this.#known.set(name, isReadOnly(tool) && this.#known.get(name) !== false)
    }
  }

  /** Undefined: nothing was said of it. */
  says(name: string | undefined): boolean | undefined {
    return name === undefined ? undefined : this.#known.get(name)
  }
}

function toolsOnTape(plan: Plan): ReadOnlyTools {
  const tools = new ReadOnlyTools()
  for (const { step } of plan.acts)
    if (step.kind === 'request' && step.method === 'tools/list') tools.learn(answerOf(step))
  return tools
}

/** What may change something on the server, and why that is feared; undefined where nothing is. */
function writes(step: Spoken, tools: ReadOnlyTools, bindings: BindingPlan): string | undefined {
  if (step.kind === 'answer') return undefined
  if (step.method === 'tasks/cancel')
    return isOwnTask(step, bindings) ? undefined : 'the task is none that was begun on the tape'
  if (step.method === 'tools/call') {
    const says = tools.says((step as RecordedRequest).subject)
    if (says === true) return undefined
    return says === false ? 'the tool is not marked read-only' : "the tool is in no tools/list of the tape's"
  }
  return HARMLESS.has(step.method) ? undefined : 'the method is none that the specification knows'
}

/**
 * It was begun by a request that is sent as well, and that asked for a task: what is cancelled is the task that this begins. A
 * task that an answer only tells of is somebody else's.
 */
function isOwnTask(step: Spoken, { uses }: BindingPlan): boolean {
  const use = uses.get(step)?.find(({ path }) => path.join('/') === 'params/taskId')
  if (!use || use.minted.part || use.minted.path.join('/') !== 'result/task/taskId') return false
  const { request } = use.minted
  return isObject(valueAt(jsonOf(request), ['params', 'task'])) || saysTask(answerOf(request))
}

/** Where the server decides what becomes a task. */
function saysTask(answer: unknown): boolean {
  return valueAt(answer, ['result', 'resultType']) === 'task'
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null
}

/** All steps that may change something, with the reason. */
export function writingSteps(plan: Plan, bindings: BindingPlan): Map<Spoken, string> {
  const tools = toolsOnTape(plan)
  const found = new Map<Spoken, string>()
  for (const { step } of plan.acts) {
    const why = isSpoken(step) ? writes(step, tools, bindings) : undefined
    if (why !== undefined) found.set(step as Spoken, why)
  }
  return found
}

/** `tools/call create_issue`: what is named to whoever has to allow it. */
export function subjectText(step: Spoken): string {
  if (step.kind === 'answer') return 'an answer'
  const subject = step.kind === 'request' ? step.subject : undefined
  return subject === undefined ? step.method : `${step.method} ${subject}`
}
