#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Small conversations over TCP and UDP, for captures and address translation.

serve ADDRESS PORT            echoes each message, for any number of clients
talk ADDRESS PORT COUNT       messages of many sizes, each answered before the next: no segment is merged with another
transfer ADDRESS PORT BYTES   sends them as one stream and wants the same ones back
datagrams ADDRESS PORT COUNT  sends them; nobody answers
"""
import hashlib
import os
import socket
import sys
import threading


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def echo(client):
    with client:
        while data := client.recv(1 << 16):
            client.sendall(data)


def serve(address, port):
    with socket.socket(family(address), socket.SOCK_STREAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((address, port))
        server.listen(64)
        while True:
            threading.Thread(target=echo, args=(server.accept()[0],), daemon=True).start()


def connect(address, port):
    client = socket.create_connection((address, port), timeout=10)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def read_exactly(client, size):
    data = b""
    while len(data) < size:
        piece = client.recv(size - len(data))
        if not piece:
            sys.exit("the connection ended early")
        data += piece
    return data


def talk(address, port, count):
    with connect(address, port) as client:
        for i in range(count):
            message = os.urandom(1 + (i * 97) % 1400)  # odd and even lengths
            client.sendall(message)
            if read_exactly(client, len(message)) != message:
                sys.exit(f"message {i} came back changed")


def transfer(address, port, size):
    block = os.urandom(1 << 16)
    sent, back = hashlib.sha256(), hashlib.sha256()
    with connect(address, port) as client:

        def send_all():
            left = size
            while left > 0:
                piece = block[: min(left, len(block))]
                client.sendall(piece)
                sent.update(piece)
                left -= len(piece)
            client.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send_all)
        sender.start()
        while data := client.recv(1 << 16):
            back.update(data)
        sender.join()
    if sent.digest() != back.digest():
        sys.exit("the stream came back changed")


def datagrams(address, port, count):
    with socket.socket(family(address), socket.SOCK_DGRAM) as client:
        for i in range(count):
            client.sendto(os.urandom(1 + (i * 97) % 1400), (address, port))


if __name__ == "__main__":
    what, where, *numbers = sys.argv[1:]
    {"serve": serve, "talk": talk, "transfer": transfer, "datagrams": datagrams}[what](where, *map(int, numbers))
