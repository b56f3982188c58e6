package packages_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// guest is a system in qemu, with a kernel of its own. It runs in software: where the host is a machine of
// somebody else's, its /dev/kvm may be there and not work.
type guest struct {
	image   string
	kernel  string
	initrd  string
	port    int // of the host, which leads to the guest's IMAP port
	qemu    *exec.Cmd
	exited  chan struct{}
	agent   net.Conn
	answers *bufio.Reader
}

// agentUnit and agent answer scripts that come by a serial port, one a line in base64, with the exit
// code and the output likewise.
const (
	agentUnit = `[Service]
ExecStart=/usr/local/sbin/agent
Restart=always
KillMode=process
[Install]
WantedBy=multi-user.target
`
	agent = `#!/bin/bash
export HOME=/root LC_ALL=C.UTF-8 TERM=dumb DEBIAN_FRONTEND=noninteractive
port=/dev/virtio-ports/agent
while [ ! -e $port ]; do sleep 0.1; done
exec 3<>$port
while read -r line <&3; do
	base64 -d <<<"$line" >/run/script
	out=$(bash /run/script 3<&- 2>&1 </dev/null | base64 -w0; exit ${PIPESTATUS[0]})
	echo "$? $out" >&3
done
`
	wired = "[Match]\nType=ether\n[Network]\nAddress=10.0.2.15/24\nLinkLocalAddressing=no\n"
)

// newGuest makes a machine from a tree: with a kernel, and Cyrus installed already.
func newGuest(tree string) (*guest, error) {
	for name, text := range map[string]string{
		"etc/systemd/system/agent.service":    agentUnit,
		"usr/local/sbin/agent":                agent,
		"etc/systemd/network/wired.network":   wired,
		"etc/fstab":                           "/dev/vda / ext4 rw 0 0\n",
		"etc/initramfs-tools/conf.d/relinkd":  "COMPRESS=gzip\n",
		"etc/modules-load.d/agent.conf":       "virtio_console\n",
		"etc/systemd/journald.conf.d/go.conf": "[Journal]\nForwardToConsole=no\n",
		"usr/sbin/policy-rc.d":                "#!/bin/sh\nexit 101\n",
	} {
		name = filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
			return nil, err
		}
	}
	g := &guest{image: tree + ".image", kernel: tree + ".kernel", initrd: tree + ".initrd"}
	packages := strings.Join(append(append([]string{}, inCache...), forBoot...), " ")
	if _, err := inChroot(tree, "bash", "-euc", `
		mkdir -p /etc/initramfs-tools/conf.d
		apt-get install -y -q --no-download `+packages+`
		sed -i -E 's/^\s*(pop3|nntp|http)s?\s/#&/' /etc/cyrus.conf # of packages that are not installed: master refuses to start
		systemctl enable agent systemd-networkd
		systemctl disable systemd-networkd-wait-online || true
		rm -r /usr/sbin/policy-rc.d /var/cache/apt/archives/*.deb`); err != nil {
		return nil, err
	}
	for pattern, to := range map[string]string{"boot/vmlinuz-*": g.kernel, "boot/initrd.img-*": g.initrd} {
		found, err := filepath.Glob(filepath.Join(tree, pattern))
		if err != nil || len(found) != 1 {
			return nil, fmt.Errorf("%s: %q, %v", pattern, found, err)
		}
		if err := os.Rename(found[0], to); err != nil {
			return nil, err
		}
	}
	if _, err := command(5*time.Minute, "mkfs.ext4", "-q", "-E", "lazy_itable_init=1", "-d", tree, g.image, "3G"); err != nil {
		return nil, err
	}
	return g, os.RemoveAll(tree)
}

func (g *guest) start() error {
	// A port that was free a moment ago.
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	g.port = free.Addr().(*net.TCPAddr).Port
	free.Close()
	socket := g.image + ".agent"
	os.Remove(socket)
	output, err := os.Create(g.image + ".console")
	if err != nil {
		return err
	}
	defer output.Close()
	g.qemu = exec.Command("qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "1536",
		"-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio",
		"-kernel", g.kernel, "-initrd", g.initrd, "-append", "root=/dev/vda rw console=ttyS0 systemd.show_status=false",
		"-drive", "if=virtio,format=raw,cache=unsafe,file="+g.image,
		"-netdev", fmt.Sprintf("user,id=wire,restrict=on,hostfwd=tcp:127.0.0.1:%d-10.0.2.15:143", g.port), "-device", "virtio-net-pci,netdev=wire",
		"-device", "virtio-serial-pci", "-chardev", "socket,id=agent,server=on,wait=off,path="+socket, "-device", "virtserialport,chardev=agent,name=agent")
	g.qemu.Stdout, g.qemu.Stderr = output, output
	g.qemu.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	g.exited = make(chan struct{})
	started := make(chan error)
	go func(cmd *exec.Cmd, exited chan struct{}) {
		runtime.LockOSThread() // the death of this thread is the death of qemu
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
		}
		close(exited)
	}(g.qemu, g.exited)
	if err := <-started; err != nil {
		return err
	}
	// The socket is there when qemu is, and the port's buffer keeps the first script until an agent reads.
	deadline := time.Now().Add(10 * time.Second)
	for g.agent, err = net.Dial("unix", socket); err != nil; g.agent, err = net.Dial("unix", socket) {
		if time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	g.answers = bufio.NewReader(g.agent)
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	_, _, err = g.command(ctx, "true")
	return err
}

func (g *guest) command(ctx context.Context, script string) (string, int, error) {
	deadline, _ := ctx.Deadline()
	g.agent.SetDeadline(deadline)
	fmt.Fprintln(g.agent, base64.StdEncoding.EncodeToString([]byte(script)))
	line, err := g.answers.ReadString('\n')
	if err != nil {
		return "", -1, fmt.Errorf("the guest's agent does not answer: %w", err)
	}
	code, text, _ := strings.Cut(strings.TrimSpace(line), " ")
	out, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", -1, err
	}
	exit, err := strconv.Atoi(code)
	return string(out), exit, err
}

// dial connects through qemu, which takes a connection before it knows whether the guest does.
func (g *guest) dial() (net.Conn, error) {
	return net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", g.port), patience)
}

func (g *guest) halted(limit time.Duration) error {
	select {
	case <-g.exited:
		g.agent.Close()
		return nil
	case <-time.After(limit):
		return fmt.Errorf("still running after %v", limit)
	}
}

func (g *guest) kill() {
	if g.qemu == nil || g.qemu.Process == nil {
		return
	}
	if g.agent != nil {
		g.agent.Close()
	}
	g.qemu.Process.Kill()
	<-g.exited
	for _, name := range []string{g.image, g.kernel, g.initrd} {
		os.Remove(name)
	}
}

func (g *guest) console() string {
	f, err := os.Open(g.image + ".console")
	if err != nil {
		return ""
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil && !errors.Is(err, io.EOF) {
		return err.Error()
	}
	return string(text)
}
