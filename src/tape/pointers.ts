import { MARK, TapeError } from './format.ts'
import { Splicer, skipBlank, stringEnd, valueEnd, walkItems } from './json-text.ts'

/** JSON pointers (RFC 6901) as a tree, so that one walk over a text finds them all. `*` stands for any one member or element. */
export interface PointerTree {
  /** The pointer that ends here. */
  pointer?: string
  readonly named: Map<string, PointerTree>
  any?: PointerTree
}

const MARK_JSON = JSON.stringify(MARK)

/** Undefined for none. Throws TapeError `tape_pointer`. */
export function compilePointers(pointers: readonly string[]): PointerTree | undefined {
  if (pointers.length === 0) return undefined
  const root: PointerTree = { named: new Map() }
  for (const pointer of pointers) {
    let node = root
    for (const segment of segmentsOf(pointer)) {
      let next = segment === '*' ? node.any : node.named.get(segment)
      if (!next) {
        next = { named: new Map() }
        if (segment === '*') node.any = next
        else node.named.set(segment, next)
      }
      node = next
    }
    node.pointer = pointer
  }
  return root
}

function segmentsOf(pointer: string): string[] {
  if (!pointer.startsWith('/'))
    throw new TapeError(
      'tape_pointer',
      `'${pointer}' is no JSON pointer within a message; write it like /params/arguments/password`
    )
  if (/~(?![01])/.test(pointer))
    throw new TapeError('tape_pointer', `'${pointer}': in a JSON pointer ~ is written ~0 and / is written ~1`)
  return pointer
    .slice(1)
    .split('/')
    .map(s => s.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/**
 * Replaces the values the pointers name, each by the JSON string "[redacted]"; all other characters stay. In a batch the
 * pointers apply to each message. `onHit` hears which pointers applied, and the JSON text of what they named.
 */
export function redactPointers(
  text: string,
  root: PointerTree,
  onHit: (pointer: string, value: string) => void
): string {
  const splicer = new Splicer(text)
  const walk = (i: number, nodes: readonly PointerTree[]): number => {
    const c = text.charCodeAt(i)
    if (c !== 0x7b && c !== 0x5b) return valueEnd(text, i)
    return walkItems(text, i, (key, at) => {
      const next = nodes.flatMap(n => [n.named.get(key), n.any]).filter(n => n !== undefined)
      const last = next.find(n => n.pointer !== undefined)
      if (last) {
        const end = valueEnd(text, at)
        splicer.replace(at, end, MARK_JSON)
        onHit(last.pointer!, text.slice(at, end))
        return end
      }
      return next.length > 0 ? walk(at, next) : valueEnd(text, at)
    })
  }
  const start = skipBlank(text, 0)
  if (text.charCodeAt(start) === 0x5b) walkItems(text, start, (_, at) => walk(at, [root]))
  else walk(start, [root])
  return splicer.result
}

/** Decides by a member's name and the JSON text its value begins with (up to 64 characters). */
export type MemberTest = (name: string, beginning: string) => boolean

/** Replaces the values of all members, at any depth, for which `isSecret` says so. Linear, however deep the text is. */
export function redactMembers(text: string, isSecret: MemberTest, onHit: (name: string) => void): string {
  const splicer = new Splicer(text)
  const key = /"((?:[^"\\]|\\.){1,128})"\s{0,16}:\s{0,16}/y
  let i = 0
  for (;;) {
    i = text.indexOf('"', i)
    if (i < 0) return splicer.result
    key.lastIndex = i
    const match = key.exec(text)
    if (!match) {
      i = stringEnd(text, i)
      continue
    }
    const at = key.lastIndex
    if (isSecret(match[1]!, text.slice(at, at + 64))) {
      const end = valueEnd(text, at)
      splicer.replace(at, end, MARK_JSON)
      onHit(match[1]!)
      i = Math.max(end, i + 1)
    } else i = at
  }
}
