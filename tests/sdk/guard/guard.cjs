// Lets a Node process reach this machine alone: `node --require guard.cjs`.
// What it tries to reach elsewhere is refused, and written into the file named by ELSEWHERE, a host a line.
const { appendFileSync } = require('node:fs')
const { BlockList, isIP, Socket } = require('node:net')

const here = new BlockList()
here.addSubnet('127.0.0.0', 8, 'ipv4')
here.addAddress('::1', 'ipv6')

const isHere = (host) => host === 'localhost' || (isIP(host) > 0 && here.check(host, `ipv${isIP(host)}`))

const connect = Socket.prototype.connect
Socket.prototype.connect = function (...given) {
  const [first, second] = Array.isArray(given[0]) ? given[0] : given
  const host = typeof first === 'object' ? first.host : typeof second === 'string' ? second : undefined
  if (host === undefined || isHere(host)) return connect.apply(this, given)
  appendFileSync(process.env.ELSEWHERE, `${host}\n`)
  process.nextTick(() => this.destroy(new Error(`${host} is not this machine`)))
  return this
}
