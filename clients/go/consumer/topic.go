package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// readTopic gives every record that lies on the topic now to take: each partition in its order, without a consumer group.
func readTopic(ctx context.Context, brokers []string, topic string, take func(*kgo.Record) error) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer client.Close()
	left, err := unread(ctx, client, topic)
	if err != nil {
		return err
	}
	for len(left) > 0 {
		fetched := client.PollFetches(ctx)
		if err := fetched.Err(); err != nil {
			return fmt.Errorf("reading %s: %w", topic, err)
		}
		for records := fetched.RecordIter(); !records.Done(); {
			record := records.Next()
			end, wanted := left[record.Partition]
			if !wanted {
				continue // came while we were reading
			}
			if record.Offset < end {
				if err := take(record); err != nil {
					return err
				}
			}
			if record.Offset+1 >= end {
				delete(left, record.Partition)
			}
		}
	}
	return nil
}

// unread returns where each partition ends that holds anything.
func unread(ctx context.Context, client *kgo.Client, topic string) (map[int32]int64, error) {
	admin := kadm.NewClient(client)
	starts, err := admin.ListStartOffsets(ctx, topic)
	ends, err2 := admin.ListEndOffsets(ctx, topic)
	if err := errors.Join(err, err2, starts.Error(), ends.Error()); err != nil {
		return nil, err
	}
	left := map[int32]int64{}
	ends.Each(func(end kadm.ListedOffset) {
		if start, known := starts.Lookup(topic, end.Partition); known && start.Offset < end.Offset {
			left[end.Partition] = end.Offset
		}
	})
	return left, nil
}
