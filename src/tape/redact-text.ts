import { MARK } from './format.ts'
import { skipBlank } from './json-text.ts'
import { redactMembers } from './pointers.ts'
import { isSecretMember, isSecretName, isSecretParameter } from './secret-names.ts'

/** Redaction of text by its shape. Every pattern is bounded in length, so that hostile text costs linear time. */

/** Hears what was taken out: a mark for the frame (`query:token`), and the secret itself where it is worth remembering. */
export type OnRedacted = (mark: string, secret?: string) => void

const PARAMETER = /([?&;#])([^=&;#?\s"'<>]{1,128})=([^&;#\s"'<>]*)/g

/** A URL, or text that holds URLs: userinfo, and values of secret-looking query and fragment parameters. */
export function redactUrls(text: string, on: OnRedacted): string {
  let out = text.includes('://') ? redactUserinfo(text, on) : text
  if (!out.includes('=')) return out
  PARAMETER.lastIndex = 0
  out = out.replace(PARAMETER, (whole, mark: string, name: string, value: string) => {
    if (value === '' || value === MARK || !isSecretParameter(decode(name))) return whole
    on(`query:${printableName(name)}`, decode(value))
    return `${mark}${name}=${MARK}`
  })
  return out
}

function redactUserinfo(text: string, on: OnRedacted): string {
  let out = ''
  let from = 0
  for (let at = text.indexOf('://'); at >= 0; at = text.indexOf('://', at + 3)) {
    const start = at + 3
    let end = start
    let sign = -1
    for (; end < text.length && !endsAuthority(text.charCodeAt(end)); end++)
      if (text.charCodeAt(end) === 0x40) sign = end
    if (sign <= start) continue
    const userinfo = text.slice(start, sign)
    if (userinfo === MARK) continue
    const colon = userinfo.indexOf(':')
    on('userinfo', decode(colon < 0 ? userinfo : userinfo.slice(colon + 1)))
    out += text.slice(from, start) + MARK
    from = sign
  }
  return from === 0 ? text : out + text.slice(from)
}

function endsAuthority(c: number): boolean {
  // space and controls " # ' / < > ? \
  return (
    c <= 0x20 ||
    c === 0x22 ||
    c === 0x23 ||
    c === 0x27 ||
    c === 0x2f ||
    c === 0x3c ||
    c === 0x3e ||
    c === 0x3f ||
    c === 0x5c
  )
}

function decode(text: string): string {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function printableName(name: string): string {
  return name.replace(/[^\w.~-]/g, '_')
}

const FORM = /^[\w.~%+[\]-]{1,128}=[^\s]*$/

/** Content that is no JSON-RPC: OAuth answers and forms, error pages. */
export function redactBody(text: string, on: OnRedacted): string {
  const first = text[skipBlank(text, 0)]
  if (first === '{' || first === '[') {
    const out = redactMembers(text, isSecretMember, name => on(`body:${printableName(name)}`))
    return redactUrls(out, on)
  }
  if (FORM.test(text))
    return redactUrls(`?${text}`, (mark, secret) => on(mark.replace('query:', 'body:'), secret)).slice(1)
  return redactNote(text, on)
}

/** `Authorization: …` is how people are told to give one. */
const HEADER_LINE =
  /\b((?:proxy-)?authorization|set-cookie|cookie)(["']?\s{0,4}[:=]\s{0,4})(?=[^\s…])([^\r\n]{1,8192})/gi
const SCHEME =
  /\b(bearer|basic|dpop|negotiate|digest)(\s{1,4})(?=[^\s"',;]{0,256}\d|[^\s"',;]{20})([A-Za-z0-9._~+/=-]{6,8192})/gi
const ASSIGNMENT =
  /(?<![A-Za-z0-9_.])((?:["'])?)([A-Za-z][A-Za-z0-9_.-]{1,63})\1(\s{0,4}[:=]\s{0,4})("(?:[^"\\]|\\.){1,4096}"|'[^']{1,4096}'|[^\s,;&"'<>]{3,8192})/g

/** Well-known forms of credentials: OpenAI, GitHub, GitLab, Slack, AWS, Google, npm, Stripe; JWTs. */
const SHAPES =
  /\b(?:sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|xox[abeprs]-[\w-]{10,}|AKIA[A-Z0-9]{16}|AIza[\w-]{30,}|npm_[A-Za-z0-9]{30,}|[rs]k_(?:live|test)_\w{16,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)/g

/** Free text written for people (stderr, errors, log lines, arguments), where a secret may stand in any of its usual dresses. */
export function redactNote(text: string, on: OnRedacted): string {
  let out = redactUrls(text, on)
  if (/[:=]/.test(out)) {
    out = out.replace(HEADER_LINE, (_, name: string, sign: string, value: string) => {
      for (const word of value.split(/[\s;,="']+/, 16)) on('text', word)
      return `${name}${sign}${MARK}`
    })
    out = out.replace(ASSIGNMENT, (whole, quote: string, name: string, sign: string, value: string) => {
      if (!isSecretName(name) || value.includes(MARK) || value.startsWith('//')) return whole
      const edge = value[0] === '"' || value[0] === "'" ? value[0] : ''
      on('text', edge === '' ? value : value.slice(1, -1))
      return `${quote}${name}${quote}${sign}${edge}${MARK}${edge}`
    })
  }
  out = out.replace(SCHEME, (_, scheme: string, space: string, secret: string) => {
    on('text', secret)
    return `${scheme}${space}${MARK}`
  })
  return out.replace(SHAPES, secret => {
    on('text', secret)
    return MARK
  })
}

const USER_FLAG = /^(?:-u|--user|--auth|--basic|--proxy-user)$/

/** A command line: values after secret-looking flags, of KEY=VALUE and `Name: value`, and whatever `redactNote` sees. */
export function redactArgv(argv: readonly string[], on: OnRedacted): string[] {
  const out: string[] = []
  for (const [i, arg] of argv.entries()) {
    const before = i === 0 ? '' : argv[i - 1]!
    const named = /^-{0,2}([A-Za-z_][\w.-]*)(=|:\s*)([\s\S]+)$/.exec(arg)
    if (isValueOf(before, arg)) {
      on('argv', arg)
      out.push(MARK)
    } else if (named && !arg.includes('://') && isSecretName(named[1]!)) {
      on('argv', named[3]!)
      out.push(arg.slice(0, arg.length - named[3]!.length) + MARK)
    } else out.push(redactNote(arg, (_, secret) => on('argv', secret)))
  }
  return out
}

function isValueOf(flag: string, value: string): boolean {
  if (!/^-/.test(flag) || flag.includes('=') || /^--?[A-Za-z]/.test(value)) return false
  if (USER_FLAG.test(flag)) return value.includes(':') && !/^\d+:\d+$/.test(value)
  return isSecretName(flag) || flag === '--key'
}
