# SPDX-License-Identifier: Apache-2.0
# bash completion for shunt: commands, options, and, by asking the daemon, bridges and ports.
# Installed as .../bash-completion/completions/shunt; try it with `source cli/completion.bash`.

# Asks the daemon that the command line means, quietly and not for long.
_shunt_ask() {
  "${_shunt_command[@]}" --timeout 1 "$@" 2>/dev/null </dev/null
}

_shunt_bridges() {
  _shunt_ask bridge list | awk 'NR > 1 { print $1 }'
}

# Ports of the bridge that stands in the command line.
_shunt_ports() {
  _shunt_ask port list "$1" | awk 'NR > 1 { print $2 }'
}

# Interfaces that could become ports.
_shunt_interfaces() {
  ip -o link show 2>/dev/null | awk -F': ' '{ sub(/@.*/, "", $2); print $2 }'
}

_shunt_reply() {
  mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2")
}

_shunt() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  local -a _shunt_command=("${COMP_WORDS[0]}") words=()
  local i word
  COMPREPLY=()

  # The words of the command, without options and their values; --rundir and --instance are for the daemon to ask.
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    case $word in
      --rundir | --instance)
        _shunt_command+=("$word" "${COMP_WORDS[i + 1]-}")
        ((i++))
        ;;
      --timeout | --ofport | --tag | --trunks | --cvlans | --vlan-mode | --qinq-ethtype | --priority-tags | --flood | \
        --receive | --forward | --packet-in | --protected | --queue-workers | --mode | --queues | --file | --limit | --vlan | --port | \
        --ageing | --interval | --flood-vlans | --datapath-id | --fail-mode | --max-rules | --evict | --miss | --name | --pcap | --in-port | --bridge | \
        --sort | --write | --filter | --count | --seconds | --snaplen | --rate | --buffer | --auxiliary)
        ((i++))
        ;;
      -*) ;;
      *) words+=("$word") ;;
    esac
  done

  local verb="${words[0]-} ${words[1]-}" options="--help"
  local settings="--vlan-mode --tag --trunks --cvlans --qinq-ethtype --priority-tags --flood --receive --forward \
    --packet-in --protected --queue-workers"
  case $verb in
    'port attach') options+=" $settings --ofport --mode --queues --create-tap --force --json" ;;
    'port set') options+=" $settings --all-vlans --json" ;;
    'bridge set') options+=" --flood-vlans --datapath-id --fail-mode" ;;
    'bridge add') options+=" --datapath-id --fail-mode" ;;
    'controller add') options+=" --auxiliary" ;;
    'table set') options+=" --max-rules --evict --miss --name" ;;
    'group list' | 'group stats' | 'meter list' | 'meter stats') options+=" --json" ;;
    *' list' | *' show' | 'cache stats') options+=" --json" ;;&
    'flow list') ;;
    'flow '* | 'group '* | 'meter '*) options+=" --file" ;;
    'trace '*) options+=" --pcap --in-port --json" ;;
    'packet-in '* | 'captures '* | 'doctor '*) options+=" --json" ;;
    'capture '*) options+=" --write --before --after --drops --filter --count --seconds --snaplen --rate --buffer" ;;
    'monitor '*) options+=" --bridge --seconds --json" ;;
    'cache why') options+=" --bridge --json" ;;
    'cache list') options+=" --limit" ;;
    'config load' | 'config undo') options+=" --dry-run --json" ;;
    'config diff') options+=" --json" ;;
    'fdb add' | 'fdb del') options+=" --vlan" ;;
    'fdb flush') options+=" --port" ;;
    'fdb set') options+=" --ageing --limit" ;;
    'drops '*) options+=" --all --json" ;;
    'stats '*) options+=" --watch --interval --json" ;;
    'top '*) options+=" --interval --sort --once --json" ;;
    'version '*) options+=" --json" ;;
    ' ') options+=" --rundir --instance --timeout --json --version" ;;
  esac

  case $previous in
    --file | --rundir | --pcap | --write)
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
      return
      ;;
    --mode) _shunt_reply "auto native generic tcx" "$current"; return ;;
    --vlan-mode)
      _shunt_reply "trunk access native-tagged native-untagged dot1q-tunnel" "$current"
      return
      ;;
    --qinq-ethtype) _shunt_reply "802.1ad 802.1q" "$current"; return ;;
    --queue-workers) _shunt_reply "auto" "$current"; return ;;
    --priority-tags) _shunt_reply "no if-nonzero always" "$current"; return ;;
    --flood | --receive | --forward | --packet-in | --protected | --evict) _shunt_reply "on off" "$current"; return ;;
    --fail-mode) _shunt_reply "standalone secure" "$current"; return ;;
    --sort) _shunt_reply "packets bytes drops" "$current"; return ;;
    --miss) _shunt_reply "drop controller continue" "$current"; return ;;
    --bridge) _shunt_reply "$(_shunt_bridges)" "$current"; return ;;
    --in-port) _shunt_reply "$(_shunt_ports "${words[1]-}")" "$current"; return ;;
    --port) _shunt_reply "$(_shunt_ports "${words[2]-}")" "$current"; return ;;
    --instance | --timeout | --ofport | --tag | --trunks | --cvlans | --queues | --limit | --vlan | --ageing | \
      --interval | --flood-vlans | --datapath-id | --max-rules | --name | --filter | --count | --seconds | --snaplen | --rate | --buffer | \
      --auxiliary)
      return
      ;;
  esac
  if [[ $current == -* ]]; then
    _shunt_reply "$options" "$current"
    return
  fi

  case ${#words[@]} in
    0) _shunt_reply "bridge controller port flow group meter table config trace cache fdb worker drops stats top version packet-in capture captures \
      monitor doctor" "$current" ;;
    1)
      case ${words[0]} in
        bridge) _shunt_reply "add del list show set" "$current" ;;
        controller) _shunt_reply "add del list" "$current" ;;
        port) _shunt_reply "attach detach list show set" "$current" ;;
        flow) _shunt_reply "add mod mod-strict del del-strict list replace" "$current" ;;
        group) _shunt_reply "add mod add-or-mod del insert-bucket remove-bucket list stats" "$current" ;;
        meter) _shunt_reply "add mod del list stats" "$current" ;;
        table) _shunt_reply "list set" "$current" ;;
        config) _shunt_reply "show diff load undo" "$current" ;;
        cache) _shunt_reply "list stats flush why" "$current" ;;
        fdb) _shunt_reply "list add del flush set" "$current" ;;
        worker) _shunt_reply "list" "$current" ;;
        monitor) _shunt_reply "ports macs flows controllers" "$current" ;;
        drops | trace | packet-in | capture) _shunt_reply "$(_shunt_bridges)" "$current" ;;
      esac
      ;;
    2)
      case $verb in
        'config diff' | 'config load') mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
        'bridge add' | 'bridge list' | config\ * | cache\ * | drops\ * | stats\ * | top\ * | version\ * | trace\ * | packet-in\ * | monitor\ * | \
          captures\ * | doctor\ *) ;;
        capture\ *) _shunt_reply "$(_shunt_ports "${words[1]}")" "$current" ;;
        *) _shunt_reply "$(_shunt_bridges)" "$current" ;;
      esac
      ;;
    3)
      case $verb in
        'port attach') _shunt_reply "$(_shunt_interfaces)" "$current" ;;
        'port detach' | 'port show' | 'port set') _shunt_reply "$(_shunt_ports "${words[2]}")" "$current" ;;
      esac
      ;;
    4)
      case $verb in
        'fdb add') _shunt_reply "$(_shunt_ports "${words[2]}")" "$current" ;;
      esac
      ;;
  esac
}

complete -F _shunt shunt
